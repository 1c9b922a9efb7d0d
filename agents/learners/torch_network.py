"""The portable network on torch's side: what stable-baselines3 trains, and how it gets in and out."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from sec_rl.agents.network import NORMALISED_LIMIT, Network, Squash


class Standardise(BaseFeaturesExtractor):
    """The network's normaliser, which is not learned.

    Args:
        space: of the observation; None outside stable-baselines3.
        mean: (n_in,).
        scale: (n_in,) above 0.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, space: gymnasium.Space[NDArray[np.float32]] | None, mean: NDArray, scale: NDArray) -> None:  # type: ignore[type-arg]
        super().__init__(space or gymnasium.spaces.Box(-1.0, 1.0, mean.shape), mean.size)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, observations: Tensor) -> Tensor:
        """Return (rows, n_in) observations normalised."""
        return ((observations - self.mean) / self.scale).clamp(-NORMALISED_LIMIT, NORMALISED_LIMIT)


def linear_layers(*modules: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of modules, in order."""
    return [part for module in modules for part in module.modules() if isinstance(part, nn.Linear)]


def read_network(
    mean: NDArray[np.float32], scale: NDArray[np.float32], layers: Sequence[nn.Linear], squash: Squash
) -> Network:
    """Return the portable network of linear layers with tanh between them.

    Raises:
        InputError: a weight is no number.
    """
    return Network(
        mean.astype(np.float32),
        scale.astype(np.float32),
        tuple(layer.weight.detach().numpy().copy() for layer in layers),
        tuple(layer.bias.detach().numpy().copy() for layer in layers),
        squash,
    )


def write_network(network: Network, layers: Sequence[nn.Linear]) -> None:
    """Put a portable network's weights into linear layers."""
    with torch.no_grad():
        for layer, weight, bias in zip(layers, network.weights, network.biases, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
