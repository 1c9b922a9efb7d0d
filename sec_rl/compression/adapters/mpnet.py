"""MPNet (Song et al. 2020): BERT's layers with a relative position bias that all layers share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import MPNetConfig, PreTrainedConfig

from sec_rl.compression.adapters.fields import dense_fields, uniform_fields
from sec_rl.compression.adapters.naming import rename_to_slim, rename_to_stock, without_prefix
from sec_rl.compression.slim_config import SlimEncoderConfig

_NAMES = {
    "embeddings.word_embeddings": "encoder.embeddings.word",
    "embeddings.position_embeddings": "encoder.embeddings.position",
    "embeddings.LayerNorm": "encoder.embeddings.norm",
    "encoder.relative_attention_bias": "encoder.relative",
    "classifier.dense": "pooler",
    "classifier.out_proj": "classifier",
}
_LAYER_NAMES = {
    "attention.attn.o": "attention.output",
    "attention.LayerNorm": "attention_norm",
    "intermediate.dense": "ffn_in",
    "output.dense": "ffn_out",
    "output.LayerNorm": "ffn_norm",
}
_QKV = ("attention.attn.q", "attention.attn.k", "attention.attn.v")
_POSITIONS = "encoder.embeddings.position.weight"
# MPNet numbers real tokens from padding index + 1 on, so its first two position rows are never used.
_OFFSET = 2


class MPNetAdapter:
    """Maps `MPNetForSequenceClassification` to the slim encoder and back."""

    model_type = "mpnet"

    def read_config(self, config: PreTrainedConfig) -> SlimEncoderConfig:
        """Describe a stock MPNet as a dense slim encoder."""
        shared = dense_fields(config)
        shared["max_position_embeddings"] -= _OFFSET
        return SlimEncoderConfig(
            base_model_type=self.model_type,
            type_vocab_size=0,
            relative_buckets=config.relative_attention_num_buckets,
            **shared,
        )

    def read_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename MPNet's weights and cut the unused position rows.

        The pre-training pooler becomes the classification head's dense layer when there is no such head yet.
        """
        stock = without_prefix(state, "mpnet.")
        for part in ("weight", "bias"):
            if f"pooler.dense.{part}" in stock:
                stock.setdefault(f"classifier.dense.{part}", stock[f"pooler.dense.{part}"])
        slim = rename_to_slim(stock, _NAMES, _LAYER_NAMES, _QKV)
        slim[_POSITIONS] = slim[_POSITIONS][_OFFSET:].clone()
        return slim

    def write_config(self, config: SlimEncoderConfig) -> PreTrainedConfig:
        """Describe a uniform slim encoder as a stock MPNet."""
        shared = uniform_fields(config)
        shared["max_position_embeddings"] += _OFFSET
        return MPNetConfig(
            relative_attention_num_buckets=config.relative_buckets,
            architectures=["MPNetForSequenceClassification"],
            **shared,
        )

    def write_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name the weights as `MPNetForSequenceClassification` does."""
        stock = rename_to_stock(state, _NAMES, _LAYER_NAMES, _QKV)
        name = "embeddings.position_embeddings.weight"
        unused = torch.zeros(_OFFSET, stock[name].shape[1], dtype=stock[name].dtype)
        stock[name] = torch.cat([unused, stock[name]])
        return {name if name.startswith("classifier") else f"mpnet.{name}": w for name, w in stock.items()}
