"""Bytes of a model, predicted from its shapes."""

from __future__ import annotations

import torch

from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification


def dense_bytes(model: SlimEncoderForSequenceClassification) -> int:
    """Return the bytes of a model's fp32 weights."""
    return 4 * sum(int(parameter.numel()) for parameter in model.parameters())


def artefact_bytes(model: SlimEncoderForSequenceClassification) -> int:
    """Return the bytes of the int8 export, up to a few kilobytes of graph.

    Matrices take a byte an entry, everything else four.
    """
    total = 0
    for name, parameter in model.named_parameters():
        is_int8 = parameter.ndim > 1 and "segment" not in name and "relative" not in name and "classifier" not in name
        # Each int8 row carries one fp32 scale.
        total += parameter.numel() + 4 * parameter.shape[0] if is_int8 else 4 * parameter.numel()
    return total


def shape_bytes(config: SlimEncoderConfig, shape: EncoderShape) -> int:
    """Return `artefact_bytes` of a model that would have `shape`, without building its weights."""
    with torch.device("meta"):
        return artefact_bytes(SlimEncoderForSequenceClassification(config.with_shape(shape)))
