"""One adapter per architecture: how its weights and configuration map to the slim encoder and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor
from transformers import PreTrainedConfig

from sec_rl.compression.adapters.bert import BertAdapter
from sec_rl.compression.adapters.mpnet import MPNetAdapter
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.errors import unknown_name

__all__ = ["ADAPTERS", "Adapter", "adapter_for"]


class Adapter(Protocol):
    """Maps one architecture to the slim encoder and back; `name -> name` renaming plus fused projections."""

    model_type: str

    def read_config(self, config: PreTrainedConfig) -> SlimEncoderConfig:
        """Describe a stock encoder as a dense slim encoder."""

    def read_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename and fuse stock weights; heads the stock file lacks are left out."""

    def write_config(self, config: SlimEncoderConfig) -> PreTrainedConfig:
        """Describe a slim encoder of uniform shape as the stock classification model."""

    def write_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name slim weights of uniform shape as the stock classification model does."""


ADAPTERS: Mapping[str, Adapter] = {adapter.model_type: adapter for adapter in (BertAdapter(), MPNetAdapter())}


def adapter_for(model_type: str) -> Adapter:
    """Return the adapter of an architecture.

    Raises:
        InputError: no adapter knows `model_type`.
    """
    if model_type not in ADAPTERS:
        raise unknown_name("encoder architecture", model_type, ADAPTERS)
    return ADAPTERS[model_type]
