"""Realising a compression ratio in a session: table, choice, slicing of weights and optimizer state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from sec_rl.compression.allocation import choose_shape
from sec_rl.compression.cost_table import CostTable, analytic_table, with_bytes
from sec_rl.compression.importance import ImportanceTracker
from sec_rl.compression.latency_table import block_models, table_from_times
from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.compression.vault import Vault, build_model
from sec_rl.config import PruningConfig
from sec_rl.measurement.blocks import time_onnx_models
from sec_rl.training.optimizer import STEP, as_tensors, group_names, optimizer_state, rebind

# Share of bytes against time in the cost of a block; see `with_bytes`.
BYTES_SHARE = 0.25
# The unprunable part's share of a dense layer's time where it is not measured.
FIXED_SHARE = 0.1
REFERENCE_BATCH = 32


class PruningState:
    """What is left of the encoder, and everything needed to change it.

    Attributes:
        shape: what is left.
        table: time per block, measured or analytic.
        optimizer: of the current model, the same object for the whole run; its moments are sliced along.
        importance: scores of all heads and neurons.
    """

    def __init__(
        self,
        model: SlimEncoderForSequenceClassification,
        optimizer: torch.optim.Optimizer,
        config: PruningConfig,
        table: CostTable,
    ) -> None:
        dense = model.config
        self.shape = dense.shape()
        self.dense_shape = self.shape
        self.table = table
        self._cost = with_bytes(self.table, dense.hidden_size, dense.num_attention_heads, BYTES_SHARE)
        self.importance = ImportanceTracker(self.shape, config.importance)
        self.importance.start_from_weights(model, self.shape)
        self.optimizer = optimizer
        self._groups = group_names(model, optimizer)
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._vault = Vault(dense, weights)
        self._moments: dict[str, Vault] = {}

    @property
    def compression_ratio(self) -> float:
        """Share of the dense prunable cost that is gone."""
        return self._cost.removed_share(self.shape)

    @property
    def predicted_ms(self) -> float | None:
        """Milliseconds per batch of 32 that the table predicts; None without a measured table."""
        return self.table.total_cost(self.shape) if self.table.unit == "ms" else None

    @property
    def latency_ratio(self) -> float:
        """Predicted time over that of the dense model in the same format."""
        return self.latency_ratio_of(self.shape)

    def latency_ratio_of(self, shape: EncoderShape) -> float:
        """Predict the time of a shape over that of the dense model in the same format."""
        return self.table.total_cost(shape) / self.table.total_cost(self.dense_shape)

    def shape_at(self, ratio: float, depth_share: float = 0.0) -> EncoderShape:
        """Return the shape that `realise` would give; nothing changes."""
        return choose_shape(self.shape, self.importance, self._cost, ratio, depth_share=depth_share)

    def preview(
        self, model: SlimEncoderForSequenceClassification, shape: EncoderShape
    ) -> SlimEncoderForSequenceClassification:
        """Return a model of another shape with the present weights; the session's own stays as it is."""
        self._vault.absorb(model.state_dict(), self.shape)
        return build_model(self._vault, shape)

    def fit_table(self, dense_ms: float, shape: EncoderShape, shape_ms: float) -> None:
        """Fit what is fixed, and the scale of the blocks, to the times of two whole models.

        Args:
            dense_ms: of the dense model.
            shape: of the other; `shape_ms`: its time.
        """
        dense_blocks, blocks = self.table.prunable_cost(self.dense_shape), self.table.prunable_cost(shape)
        # A noisy clock must not make blocks free, or what is fixed negative.
        scale = max((dense_ms - shape_ms) / (dense_blocks - blocks), 0.1 * dense_ms / dense_blocks)
        scale = min(scale, dense_ms / dense_blocks)
        self.table = self.table.scaled(scale, dense_ms - scale * dense_blocks)

    def state(self, model: SlimEncoderForSequenceClassification) -> dict[str, Any]:
        """Copy everything that `realise` and training change: arrays and JSON-ready values."""
        self._absorb(model)
        return {
            "shape": self.shape.to_dict(),
            "weights": _arrays(self._vault.tensors),
            "moments": {moment: _arrays(vault.tensors) for moment, vault in self._moments.items()},
            "steps": _steps(optimizer_state(model, self.optimizer)),
            "importance": self.importance.state(),
            "table": self.table.to_dict(),
        }

    def resume(self, state: Mapping[str, Any]) -> SlimEncoderForSequenceClassification:
        """Return the model of a state; everything goes on as it was then."""
        self.shape = EncoderShape.from_dict(state["shape"])
        self._vault.tensors = as_tensors(state["weights"])
        config = self._vault.config
        self._moments = {moment: Vault(config, as_tensors(tensors)) for moment, tensors in state["moments"].items()}
        self.importance.restore(state["importance"])
        self.table = CostTable.from_dict(state["table"])
        return self._build(self.shape, state["steps"])

    def realise(
        self, model: SlimEncoderForSequenceClassification, ratio: float, depth_share: float
    ) -> SlimEncoderForSequenceClassification:
        """Return a model with `ratio` of the prunable cost removed; the same one when nothing changes."""
        shape = self.shape_at(ratio, depth_share)
        if shape == self.shape:
            return model
        self._absorb(model)
        smaller = self._build(shape, _steps(optimizer_state(model, self.optimizer)))
        smaller.train(model.training)
        self.shape = shape
        return smaller

    def _absorb(self, model: SlimEncoderForSequenceClassification) -> None:
        """Write the model's weights and moments back to their dense places."""
        self._vault.absorb(model.state_dict(), self.shape)
        moments = optimizer_state(model, self.optimizer)
        del moments[STEP]
        for moment, tensors in moments.items():
            if moment not in self._moments:
                # What was removed before the first step has no moment yet.
                nothing = {name: torch.zeros_like(value) for name, value in self._vault.tensors.items()}
                self._moments[moment] = Vault(self._vault.config, nothing)
            self._moments[moment].absorb(tensors, self.shape)

    def _build(self, shape: EncoderShape, steps: float) -> SlimEncoderForSequenceClassification:
        """Return the model of a shape; the optimizer moves it from now on, with the moments that are kept of it."""
        model = build_model(self._vault, shape)
        state = {moment: vault.extract(shape) for moment, vault in self._moments.items()}
        if steps:
            state[STEP] = {name: torch.tensor(steps) for name, _ in model.named_parameters()}
        rebind(self.optimizer, model, self._groups, state)
        return model


def _steps(state: Mapping[str, Mapping[str, torch.Tensor]]) -> float:
    """Return how many steps an optimizer has taken."""
    return max((float(step) for step in state[STEP].values()), default=0.0)


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    return {name: value.numpy().copy() for name, value in tensors.items()}


def cost_table(
    model: SlimEncoderForSequenceClassification, config: PruningConfig, threads: int, length: int
) -> CostTable:
    """Return what blocks of each width cost: measured on this device in int8, or counted.

    Args:
        model: the dense encoder.
        config: says which.
        threads: of onnxruntime.
        length: tokens per text; the batch holds 32.
    """
    if config.cost == "flops":
        dense = model.config
        return analytic_table(
            dense.hidden_size,
            dense.num_attention_heads,
            dense.intermediate_size,
            batch=REFERENCE_BATCH,
            length=length,
            fixed_share=FIXED_SHARE,
        )
    models = block_models(model.config, batch=REFERENCE_BATCH, length=length)
    times = time_onnx_models([m.SerializeToString() for m in models], threads=threads)
    return table_from_times(model.config, times, FIXED_SHARE)
