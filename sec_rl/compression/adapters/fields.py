"""Configuration fields that every architecture shares with the slim encoder, both ways."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from sec_rl.compression.slim_config import SlimEncoderConfig

_SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "initializer_range",
    "max_position_embeddings",
    "pad_token_id",
)


def dense_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the shared fields of a stock configuration."""
    return {name: getattr(config, name) for name in _SHARED}


def uniform_fields(config: SlimEncoderConfig) -> dict[str, Any]:
    """Return the stock fields of a slim encoder of uniform shape: what is left, and the labels."""
    present = [layer for layer in config.shape().layers if layer.present]
    return dense_fields(config) | {
        "num_hidden_layers": len(present),
        "intermediate_size": len(present[0].neurons),
        "id2label": config.id2label,
        "label2id": config.label2id,
    }
