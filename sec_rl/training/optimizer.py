"""AdamW whose state survives a change of the model's shape, and its learning-rate schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq")


def make_optimizer(
    model: nn.Module, layer_rates: Sequence[float], state: Mapping[str, Mapping[str, Tensor]] | None
) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov & Hutter 2019) over a slim encoder.

    Args:
        model: a slim encoder for classification.
        layer_rates: relative rates of embeddings, layers by dense index, and head.
        state: per moment and parameter name the tensor to continue with, plus ``step``; None: start anew.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and "norm" not in name
        groups.setdefault((layer_rates[_depth(name, len(layer_rates))], decays), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {"params": members, "relative_rate": rate, "weight_decay": 0.01 if decays else 0.0}
            for (rate, decays), members in groups.items()
        ],
        lr=1e-4,
        fused=True,
    )
    if state is not None:
        restore_optimizer(model, optimizer, state)
    return optimizer


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.AdamW, state: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Go on from the moments and step counts that `optimizer_state` returned."""
    for name, parameter in model.named_parameters():
        if name in state["exp_avg"]:
            optimizer.state[parameter] = {moment: state[moment][name] for moment in _MOMENTS}
            optimizer.state[parameter]["step"] = state["step"][name].clone()


def optimizer_state(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, dict[str, Tensor]]:
    """Return the moments and step counts by parameter name, as `make_optimizer` takes them."""
    found: dict[str, dict[str, Tensor]] = {moment: {} for moment in (*_MOMENTS, "step")}
    for name, parameter in model.named_parameters():
        for moment in found:
            if parameter in optimizer.state:
                found[moment][name] = optimizer.state[parameter][moment]
    return found


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays as tensors of their own: memory of a file may be read-only or unaligned."""
    return {name: torch.from_numpy(np.array(array)).clone() for name, array in arrays.items()}


def set_rate(optimizer: torch.optim.AdamW, rate: float) -> None:
    """Set the learning rate of every group in proportion to its relative rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["relative_rate"]


def _depth(name: str, n_rates: int) -> int:
    if name.startswith("encoder.layers."):
        return int(name.split(".")[2]) + 1
    return 0 if name.startswith("encoder.") else n_rates - 1
