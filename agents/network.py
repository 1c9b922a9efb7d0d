"""A small multilayer perceptron in numpy: what a policy computes, without torch and stable-baselines3."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.action_grid import GRID_SIZE, grid_actions
from sec_rl.errors import InputError

Squash = Literal["clip", "tanh", "grid"]
Floats = NDArray[np.float32]

# Hidden layers of every learned controller.
HIDDEN = (64, 64)
# An entry this many scales from its mean is as unusual as entries get; beyond, the network would extrapolate.
NORMALISED_LIMIT = 5.0


@dataclass(frozen=True)
class Network:
    """Normalise, tanh layers, one linear layer, squash into [-1, 1].

    Attributes:
        mean: (n_in,) subtracted from the input.
        scale: (n_in,) above 0; the difference is divided by it and clipped to `NORMALISED_LIMIT`.
        weights: (n_out, n_in) of each layer.
        biases: (n_out,) of each layer.
        squash: how the last layer's output gets into [-1, 1]; of a `grid` it is the value of each of its actions, and
            the best one is taken.

    Raises:
        InputError: shapes do not fit each other, or a number is not finite.
    """

    mean: Floats
    scale: Floats
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    squash: Squash = "clip"

    def __post_init__(self) -> None:
        width = self.mean.size
        if self.mean.shape != (width,) or self.scale.shape != (width,) or not (self.scale > 0.0).all():
            raise InputError(f"A network's normaliser has shapes {self.mean.shape} and {self.scale.shape}.")
        if len(self.weights) != len(self.biases) or not self.weights:
            raise InputError(f"A network has {len(self.weights)} weights and {len(self.biases)} biases.")
        for weight, bias in zip(self.weights, self.biases, strict=True):
            if weight.shape != (bias.size, width) or bias.shape != (bias.size,):
                raise InputError(f"A layer has shapes {weight.shape} and {bias.shape} after {width} values.")
            width = bias.size
        if self.squash == "grid" and width != GRID_SIZE:
            raise InputError(f"A network values {width} actions; the grid has {GRID_SIZE}.")
        if not self.is_finite():
            raise InputError("A network's weights hold NaN or infinity.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Width of the input and of every layer."""
        return (self.mean.size, *(bias.size for bias in self.biases))

    def fingerprint(self) -> str:
        """Return the SHA-256 of every number, by which two networks are told apart."""
        parts = (self.mean, self.scale, *self.weights, *self.biases)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def is_finite(self) -> bool:
        """Return whether every number is one."""
        return all(np.isfinite(part).all() for part in (self.mean, self.scale, *self.weights, *self.biases))

    def __call__(self, inputs: Floats) -> Floats:
        """Return the output, (rows, n_out) in [-1, 1], for (rows, n_in)."""
        hidden = np.clip((inputs - self.mean) / self.scale, -NORMALISED_LIMIT, NORMALISED_LIMIT)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.tanh(hidden @ weight.T + bias)
        output: Floats = hidden @ self.weights[-1].T + self.biases[-1]
        if self.squash == "grid":
            return grid_actions(output.argmax(axis=1))
        return np.tanh(output) if self.squash == "tanh" else np.clip(output, -1.0, 1.0)
