"""The dense copy of every weight: slices are cut from it, and what was removed waits in it to come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sec_rl.compression.shape import EncoderShape, LayerShape
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification

Tensors = dict[str, Tensor]


@dataclass
class Vault:
    """Dense tensors of one kind (weights, or an optimizer's moments), by parameter name.

    Attributes:
        config: configuration of the dense encoder.
        tensors: dense tensors; entries that are cut away keep the values they had when they were removed.
    """

    config: SlimEncoderConfig
    tensors: Tensors = field(default_factory=dict)

    def absorb(self, state: Mapping[str, Tensor], shape: EncoderShape) -> None:
        """Write the sliced tensors of a model of `shape` back to their dense places."""
        for name, value in state.items():
            where = _slices(name, shape, self.config)
            if where is None:
                self.tensors[name] = value.detach().clone()
                continue
            axis, kept = where
            self.tensors[name].index_copy_(axis, kept, value.detach())

    def extract(self, shape: EncoderShape) -> Tensors:
        """Cut the tensors of a model of `shape`."""
        cut: Tensors = {}
        for name, value in self.tensors.items():
            layer = _layer_of(name, shape)
            if layer is not None and not _exists(name, layer):
                continue
            where = _slices(name, shape, self.config)
            cut[name] = value.clone() if where is None else value.index_select(where[0], where[1])
        return cut


def build_model(vault: Vault, shape: EncoderShape) -> SlimEncoderForSequenceClassification:
    """Return a model of `shape` with the vault's weights; its tensors share nothing with the vault."""
    with torch.device("meta"):
        model = SlimEncoderForSequenceClassification(vault.config.with_shape(shape))
    model.load_state_dict(vault.extract(shape), strict=True, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def _layer_of(name: str, shape: EncoderShape) -> LayerShape | None:
    parts = name.split(".")
    return shape.layers[int(parts[2])] if parts[:2] == ["encoder", "layers"] else None


def _exists(name: str, layer: LayerShape) -> bool:
    if not layer.present:
        return False
    if ".attention.qkv." in name or name.endswith(".attention.output.weight"):
        return bool(layer.heads)
    return bool(layer.neurons) if ".ffn_in." in name or name.endswith(".ffn_out.weight") else True


def _slices(name: str, shape: EncoderShape, config: SlimEncoderConfig) -> tuple[int, Tensor] | None:
    """Return the axis along which a parameter is cut and the dense indices it keeps; None: it is never cut."""
    layer = _layer_of(name, shape)
    if layer is None:
        return None
    suffix = name.split(".", 3)[3]
    if suffix.startswith("attention.qkv"):
        rows = _head_columns(layer, config)
        width = config.num_attention_heads * config.head_size
        return 0, torch.cat([rows + part * width for part in range(3)])
    if suffix == "attention.output.weight":
        return 1, _head_columns(layer, config)
    if suffix.startswith("ffn_in"):
        return 0, torch.tensor(layer.neurons, dtype=torch.long)
    if suffix == "ffn_out.weight":
        return 1, torch.tensor(layer.neurons, dtype=torch.long)
    return None


def _head_columns(layer: LayerShape, config: SlimEncoderConfig) -> Tensor:
    heads = torch.tensor(layer.heads, dtype=torch.long)
    return (heads[:, None] * config.head_size + torch.arange(config.head_size)).flatten()
