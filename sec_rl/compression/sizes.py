"""Bytes of a model, predicted from its shapes."""

from __future__ import annotations

import torch
from torch import nn

from sec_rl.compression.rounding import stored_as
from sec_rl.compression.shape import EncoderShape, LayerShape
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification, SlimLayer

_BYTES = {"floats": 4.0, "bytes": 1.0, "nibbles": 0.5}


def dense_bytes(model: SlimEncoderForSequenceClassification) -> int:
    """Return the bytes of a model's fp32 weights."""
    return 4 * sum(int(parameter.numel()) for parameter in model.parameters())


def artefact_bytes(model: nn.Module) -> int:
    """Return the bytes of the int8 export of a model or of a part of it, up to a few kilobytes of graph.

    Matrices take a byte an entry, words' embeddings half of one, everything else four. Relative positions add a byte
    for each pair of positions.
    """
    config = getattr(model, "config", None)
    total = 0.0
    if isinstance(config, SlimEncoderConfig) and config.relative_buckets:
        total += config.max_position_embeddings**2
    for name, parameter in model.named_parameters():
        stored = stored_as(name, parameter.ndim)
        total += _BYTES[stored] * parameter.numel()
        # Each rounded row carries one fp32 scale.
        total += 0 if stored == "floats" else 4 * parameter.shape[0]
    return int(total)


class ShapeSizes:
    """`artefact_bytes` of models of any shape, without building their weights.

    A goal in bytes is searched for with a dozen shapes in every segment. Bytes add up over layers, and in a layer
    over its heads and its neurons, so each width is counted once.

    Args:
        config: of the model in any shape.
    """

    def __init__(self, config: SlimEncoderConfig) -> None:
        self._config = config
        self._layers: dict[tuple[int, int], int] = {}
        dense = config.shape()
        empty = EncoderShape(
            tuple(LayerShape((), (), present=False) for _ in dense.layers), dense.dense_heads, dense.dense_neurons
        )
        with torch.device("meta"):
            self._rest = artefact_bytes(SlimEncoderForSequenceClassification(config.with_shape(empty)))

    def of(self, shape: EncoderShape) -> int:
        """Return the bytes of a model of that shape."""
        return self._rest + sum(
            self._layer(len(layer.heads), 0) + self._layer(0, len(layer.neurons)) - self._layer(0, 0)
            for layer in shape.layers
            if layer.present
        )

    def _layer(self, n_heads: int, n_neurons: int) -> int:
        if (n_heads, n_neurons) not in self._layers:
            with torch.device("meta"):
                layer = SlimLayer(self._config, LayerShape(tuple(range(n_heads)), tuple(range(n_neurons))))
            self._layers[n_heads, n_neurons] = artefact_bytes(layer)
        return self._layers[n_heads, n_neurons]
