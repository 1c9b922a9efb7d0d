"""AdamW whose state survives a change of the model's shape, and its learning-rate schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sec_rl.errors import InputError

# Counts steps; every other entry of an optimizer's state has the shape of its parameter.
STEP = "step"


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
    model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Go on from the moments and step counts that `optimizer_state` returned."""
    for name, parameter in model.named_parameters():
        kept = {key: values[name] for key, values in state.items() if name in values}
        if kept:
            optimizer.state[parameter] = {key: v.clone() if key == STEP else v for key, v in kept.items()}


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Return the moments and step counts by parameter name, as `make_optimizer` takes them."""
    found: dict[str, dict[str, Tensor]] = {STEP: {}}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                found.setdefault(key, {})[name] = torch.as_tensor(value)
    return found


def group_names(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Return the parameter group of each of a model's parameters, by name.

    Raises:
        InputError: the optimizer does not move one of them.
    """
    places = {id(p): index for index, group in enumerate(optimizer.param_groups) for p in group["params"]}
    for name, parameter in model.named_parameters():
        if id(parameter) not in places:
            raise InputError(f"The optimizer does not move {name!r}; every parameter of the model must be in it.")
    return {name: places[id(parameter)] for name, parameter in model.named_parameters()}


def rebind(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    groups: Mapping[str, int],
    state: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Let an optimizer move another model from now on; it stays the same object, with the same groups.

    Args:
        optimizer: whoever holds it (a schedule of the learning rate, a Trainer) goes on holding it.
        model: its parameters replace those of the model before, by name.
        groups: from `group_names`, of the dense model.
        state: moments and step counts of `model`, by name; empty: it has taken no step.
    """
    members: list[list[nn.Parameter]] = [[] for _ in optimizer.param_groups]
    for name, parameter in model.named_parameters():
        members[groups[name]].append(parameter)
    for group, parameters in zip(optimizer.param_groups, members, strict=True):
        group["params"] = parameters
    optimizer.state.clear()
    restore_optimizer(model, optimizer, state)


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays as tensors of their own: memory of a file may be read-only or unaligned."""
    return {name: torch.from_numpy(np.array(array)).clone() for name, array in arrays.items()}


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group in proportion to its relative rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["relative_rate"]


def _depth(name: str, n_rates: int) -> int:
    if name.startswith("encoder.layers."):
        return int(name.split(".")[2]) + 1
    return 0 if name.startswith("encoder.") else n_rates - 1
