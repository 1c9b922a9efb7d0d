"""How much the loss would move if a structure were removed, read off the gradients that training computes anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification, SlimLayer

Scores = NDArray[np.float64]


class ImportanceTracker:
    """Accumulates the importance of every head and neuron over training steps.

    Scaling an input column of an output projection by a gate m, the derivative of the loss at m = 1 is the sum of
    weight times gradient over that column. A neuron is one column, a head as many as it is wide. `first-order` sums
    the absolute derivatives of the columns (Molchanov et al. 2019, sec. 3.1), so that a head and as many neurons
    compare; taking a head's derivative as a whole lets its columns cancel, and all heads are pruned before any
    neuron. `fisher` squares the structure's derivative instead (Kwon et al. 2022, eq. 10). Both average over batches.

    Attributes:
        heads: (layers, dense heads); structures that were never scored hold 0.
        neurons: (layers, dense neurons).
    """

    def __init__(self, shape: EncoderShape, kind: Literal["first-order", "fisher"], decay: float = 0.98) -> None:
        self.kind = kind
        self.decay = decay
        self.heads: Scores = np.zeros((len(shape.layers), shape.dense_heads))
        self.neurons: Scores = np.zeros((len(shape.layers), shape.dense_neurons))
        self._weight = 0.0

    @torch.no_grad()
    def start_from_weights(self, model: SlimEncoderForSequenceClassification, shape: EncoderShape) -> None:
        """Score structures by the norm of their output weights (magnitude pruning, Han et al. 2015).

        It serves a run that prunes before its first step. The first `update` replaces the scores of what is kept, and
        brings those of what is gone to the same scale.
        """
        weights = dict(model.named_parameters())
        for index, kept in enumerate(shape.layers):
            prefix = f"encoder.layers.{index}"
            if kept.heads:
                columns = weights[f"{prefix}.attention.output.weight"].square().sum(0)
                norms = columns.view(len(kept.heads), -1).sum(1).sqrt()
                self.heads[index, list(kept.heads)] = norms.double().numpy()
            if kept.neurons:
                norms = weights[f"{prefix}.ffn_out.weight"].square().sum(0).sqrt()
                self.neurons[index, list(kept.neurons)] = norms.double().numpy()

    @torch.no_grad()
    def update(self, model: SlimEncoderForSequenceClassification, shape: EncoderShape) -> None:
        """Add one step's gradients; call it after `backward` and before clipping.

        Removed structures keep the last value they had, so that they can be ranked when they may come back.
        """
        norms = None if self._weight > 0.0 else (self.heads.copy(), self.neurons.copy())
        self._weight = self.decay * self._weight + (1.0 - self.decay)
        rate = (1.0 - self.decay) / self._weight
        for name, module in model.encoder.layers.items():
            layer, index = module, int(name)
            if not isinstance(layer, SlimLayer):
                raise TypeError(f"layer {name} is a {type(layer).__name__}")
            kept = shape.layers[index]
            if kept.heads:
                gates = _gate_gradients(layer.attention.output)
                gates = gates.view(len(kept.heads), -1)
                self._blend(self.heads[index], np.array(kept.heads), gates, rate)
            if kept.neurons:
                gates = _gate_gradients(layer.ffn_out).view(-1, 1)
                self._blend(self.neurons[index], np.array(kept.neurons), gates, rate)
        if norms is not None:
            _rescale(self.heads, norms[0], [list(layer.heads) for layer in shape.layers])
            _rescale(self.neurons, norms[1], [list(layer.neurons) for layer in shape.layers])

    def state(self) -> dict[str, Any]:
        """Copy the scores, and the weight that averaging has gathered."""
        return {"heads": self.heads.copy(), "neurons": self.neurons.copy(), "weight": self._weight}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.heads, self.neurons, self._weight = state["heads"].copy(), state["neurons"].copy(), state["weight"]

    def _blend(self, row: Scores, kept: NDArray[np.int64], gates: torch.Tensor, rate: float) -> None:
        values = gates.abs().sum(1) if self.kind == "first-order" else gates.sum(1).square()
        row[kept] += rate * (values.double().numpy() - row[kept])


def _rescale(scores: Scores, norms: Scores, kept: Sequence[list[int]]) -> None:
    """Bring norms that gradients have not replaced to the gradients' scale, in place.

    Norms are about a thousand times as large: blocks that lost something before the first step would seem a thousand
    times as dear as all others, and these would be emptied.
    """
    here = np.zeros(scores.shape, np.bool_)
    for row, places in zip(here, kept, strict=True):
        row[places] = True
    total = float(norms[here].sum())
    if total > 0.0:
        scores[~here] *= scores[here].sum() / total


def _gate_gradients(output: torch.nn.Module) -> torch.Tensor:
    """Return dLoss/dgate per input column of an output projection."""
    if not isinstance(output, torch.nn.Linear) or output.weight.grad is None:
        raise ValueError("importance needs gradients: call it between backward and the optimizer's step")
    return (output.weight * output.weight.grad).sum(0)
