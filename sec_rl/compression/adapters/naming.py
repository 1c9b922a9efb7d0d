"""Renaming by table, and fusing and splitting of query, key and value, for every adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

PARTS = ("weight", "bias")


def rename_to_slim(
    state: Mapping[str, Tensor], names: Mapping[str, str], layer_names: Mapping[str, str], qkv: Sequence[str]
) -> dict[str, Tensor]:
    """Rename stock weights to slim ones.

    Args:
        state: stock weights without the base model's prefix.
        names: stock module -> slim module, outside the layers.
        layer_names: stock module -> slim module, inside layer `encoder.layer.{i}.`.
        qkv: stock modules of query, key and value inside a layer, in that order.
    """
    slim: dict[str, Tensor] = {}
    for stock, ours in names.items():
        for part in PARTS:
            if f"{stock}.{part}" in state:
                slim[f"{ours}.{part}"] = state[f"{stock}.{part}"]
    index = 0
    while f"encoder.layer.{index}.{qkv[0]}.weight" in state:
        prefix, target = f"encoder.layer.{index}.", f"encoder.layers.{index}."
        for stock, ours in layer_names.items():
            for part in PARTS:
                slim[f"{target}{ours}.{part}"] = state[f"{prefix}{stock}.{part}"]
        for part in PARTS:
            fused = torch.cat([state[f"{prefix}{module}.{part}"] for module in qkv])
            slim[f"{target}attention.qkv.{part}"] = fused
        index += 1
    return slim


def rename_to_stock(
    state: Mapping[str, Tensor], names: Mapping[str, str], layer_names: Mapping[str, str], qkv: Sequence[str]
) -> dict[str, Tensor]:
    """Undo `rename_to_slim`; layers are numbered anew, so dropped ones leave no gap."""
    stock: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        for part in PARTS:
            if f"{ours}.{part}" in state:
                stock[f"{theirs}.{part}"] = state[f"{ours}.{part}"]
    present = sorted({int(name.split(".")[2]) for name in state if name.startswith("encoder.layers.")})
    for new, old in enumerate(present):
        prefix, source = f"encoder.layer.{new}.", f"encoder.layers.{old}."
        for theirs, ours in layer_names.items():
            for part in PARTS:
                stock[f"{prefix}{theirs}.{part}"] = state[f"{source}{ours}.{part}"]
        for part in PARTS:
            pieces = state[f"{source}attention.qkv.{part}"].chunk(3)
            for module, piece in zip(qkv, pieces, strict=True):
                stock[f"{prefix}{module}.{part}"] = piece.contiguous()
    return stock


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Strip `prefix` from the names that carry it and keep the others."""
    return {name.removeprefix(prefix): value for name, value in state.items()}
