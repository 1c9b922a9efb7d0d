"""BERT (Devlin et al. 2019) and everything that shares its layout, such as MiniLM."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from transformers import BertConfig, PreTrainedConfig

from sec_rl.compression.adapters.fields import dense_fields, uniform_fields
from sec_rl.compression.adapters.naming import rename_to_slim, rename_to_stock, without_prefix
from sec_rl.compression.slim_config import SlimEncoderConfig

_NAMES = {
    "embeddings.word_embeddings": "encoder.embeddings.word",
    "embeddings.position_embeddings": "encoder.embeddings.position",
    "embeddings.token_type_embeddings": "encoder.embeddings.segment",
    "embeddings.LayerNorm": "encoder.embeddings.norm",
    "pooler.dense": "pooler",
    "classifier": "classifier",
}
_LAYER_NAMES = {
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "ffn_in",
    "output.dense": "ffn_out",
    "output.LayerNorm": "ffn_norm",
}
_QKV = ("attention.self.query", "attention.self.key", "attention.self.value")


class BertAdapter:
    """Maps `BertForSequenceClassification` to the slim encoder and back."""

    model_type = "bert"

    def read_config(self, config: PreTrainedConfig) -> SlimEncoderConfig:
        """Describe a stock BERT as a dense slim encoder."""
        shared = dense_fields(config)
        return SlimEncoderConfig(base_model_type=self.model_type, type_vocab_size=config.type_vocab_size, **shared)

    def read_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename BERT's weights."""
        return rename_to_slim(without_prefix(state, "bert."), _NAMES, _LAYER_NAMES, _QKV)

    def write_config(self, config: SlimEncoderConfig) -> PreTrainedConfig:
        """Describe a uniform slim encoder as a stock BERT."""
        return BertConfig(
            type_vocab_size=config.type_vocab_size,
            architectures=["BertForSequenceClassification"],
            **uniform_fields(config),
        )

    def write_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name the weights as `BertForSequenceClassification` does."""
        stock = rename_to_stock(state, _NAMES, _LAYER_NAMES, _QKV)
        return {name if name.startswith("classifier") else f"bert.{name}": w for name, w in stock.items()}
