"""State of torch and numpy as arrays and plain values: what a training goes on from, without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def module_state(module: nn.Module) -> dict[str, Any]:
    """Return a module's parameters and buffers by name."""
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def load_module(module: nn.Module, state: dict[str, Any]) -> None:
    """Put parameters and buffers back."""
    module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the moments of every parameter by its place; rates are set anew before every step."""
    return {
        str(place): {name: _array(value) for name, value in moments.items()}
        for place, moments in optimizer.state_dict()["state"].items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put the moments back."""
    moments = {
        int(place): {name: torch.from_numpy(value.copy()) for name, value in each.items()}
        for place, each in state.items()
    }
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def generator_state() -> dict[str, Any]:
    """Return the state of torch's and numpy's global generators, which stable-baselines3 draws from."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state().numpy().copy(),
        "numpy_keys": np.asarray(keys),
        "numpy": [str(name), int(position), int(has_gauss), float(gauss)],
    }


def load_generators(state: dict[str, Any]) -> None:
    """Put both generators back."""
    torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
    name, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, state["numpy_keys"], position, has_gauss, gauss))


def _array(value: Any) -> Any:
    return value.detach().numpy().copy() if isinstance(value, Tensor) else np.asarray(value)
