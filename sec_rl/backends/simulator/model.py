"""A fitted simulator: dynamics, noise, costs and the tasks it was fitted to; and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sec_rl.backends.simulator.curves import CostCurves
from sec_rl.backends.simulator.dynamics import N_POWERS, Ensemble
from sec_rl.backends.simulator.features import ASYMPTOTE, DEVIATION_NAMES, FEATURE_NAMES, LEARNING_RATE, REMOVAL
from sec_rl.backends.simulator.learning_curve import MOST_SKILL
from sec_rl.backends.simulator.tasks import LOWEST_SKILL, TaskBatch
from sec_rl.errors import InputError
from sec_rl.files import read_bytes, read_json, write_atomically, write_bytes

SCHEMA, DESCRIPTION, WEIGHTS = 5, "simulator.json", "simulator.safetensors"
_MOST_BYTES = 50_000_000
N_NOISE_WEIGHTS = 5
# Spread below this says nothing: the residuals of a solved task are rounding.
_LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class Noise:
    """Residual noise of a segment: its logarithm is linear in a few features.

    Attributes:
        weights: (2, 5) for skill of accuracy and of loss: constant, learning rate, removal, what is missing to the
            asymptote, logarithm of skill x (1 - skill).
        sensitivity: standard deviation of the logarithm of a task's own sensitivity, at least 0.
        persistence: share of the variance of the validation sample's noise that is the same in all segments of a run,
            in [0, 1]: a run is scored on the same rows every time.
    """

    weights: NDArray[np.float64]
    sensitivity: float = 0.0
    persistence: float = 0.0

    def scale(self, inputs: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standard deviations, (lanes, 2).

        Args:
            inputs: (lanes, features).
            after: (lanes, 2) skill of accuracy and of loss, as predicted.
        """
        logarithm = (noise_basis(inputs, after) * self.weights).sum(axis=-1)
        scale: NDArray[np.float64] = np.exp(np.clip(logarithm, -7.0, -1.0))
        return scale

    def disturb(
        self, inputs: NDArray[np.float64], after: NDArray[np.float64], draws: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return skills as a run with this noise really has them, (lanes, 2), within the bounds of skill.

        Args:
            inputs: (lanes, features).
            after: (lanes, 2) skill of accuracy and of loss, as predicted.
            draws: (lanes, 2) standard normal.
        """
        disturbed: NDArray[np.float64] = np.clip(after + self.scale(inputs, after) * draws, LOWEST_SKILL, MOST_SKILL)
        return disturbed


def noise_basis(inputs: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the noise's logarithm is linear in, (lanes, 2, 5)."""
    basis = np.empty((*after.shape, N_NOISE_WEIGHTS))
    basis[..., 0] = 1.0
    basis[..., 1] = inputs[:, LEARNING_RATE, None]
    basis[..., 2] = inputs[:, REMOVAL, None]
    basis[..., 3] = np.clip(inputs[:, ASYMPTOTE] - after, 0.0, 1.0)
    basis[..., 4] = np.log(np.maximum(after * (1.0 - after), _LEAST_SPREAD))
    return basis


@dataclass(frozen=True)
class Simulator:
    """Everything a simulated run needs.

    Attributes:
        ensemble: learned dynamics of accuracy and loss.
        noise: what they leave unexplained.
        curves: size and latency, analytic.
        tasks: descriptors of the recorded settings, from which tasks are drawn.
        names: of these settings, `task/pool size`.
        about: provenance and scores, JSON-ready.
    """

    ensemble: Ensemble
    noise: Noise
    curves: CostCurves
    tasks: TaskBatch
    names: tuple[str, ...]
    about: Mapping[str, Any]

    def predicting(self) -> Simulator:
        """Return the simulator of the common law alone: it predicts best, but what learns in it relies on it."""
        return replace(self, ensemble=self.ensemble.take(np.flatnonzero(self.ensemble.common)))


def save_simulator(simulator: Simulator, folder: Path) -> None:
    """Write `simulator.json` and `simulator.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    ensemble, curves = simulator.ensemble, simulator.curves
    noise = simulator.noise
    tensors = {"noise": noise.weights, "spread": np.array([noise.sensitivity, noise.persistence])}
    tensors |= {f"law.{field.name}": getattr(ensemble, field.name) for field in fields(Ensemble)}
    tensors |= {f"curve.{field.name}": getattr(curves, field.name) for field in fields(curves)}
    tensors |= {f"task.{field.name}": getattr(simulator.tasks, field.name) for field in fields(TaskBatch)}
    write_bytes(folder / WEIGHTS, save({name: np.ascontiguousarray(v, np.float64) for name, v in tensors.items()}))
    description = {"schema": SCHEMA, "features": list(FEATURE_NAMES), "settings": list(simulator.names)}
    write_atomically(folder / DESCRIPTION, json.dumps(description | {"about": simulator.about}, indent=1) + "\n")


def load_simulator(folder: Path) -> Simulator:
    """Read what `save_simulator` wrote.

    Raises:
        InputError: there is none, or it is of another version, or broken.
    """
    description = _read_description(folder)
    path = folder / WEIGHTS
    try:
        tensors = load(read_bytes(path, _MOST_BYTES))
        ensemble = Ensemble(**{field.name: tensors[f"law.{field.name}"] for field in fields(Ensemble)})
        simulator = Simulator(
            ensemble,
            Noise(tensors["noise"], *map(float, tensors["spread"])),
            CostCurves(*(tensors[f"curve.{field.name}"] for field in fields(CostCurves))),
            TaskBatch(**{field.name: tensors[f"task.{field.name}"] for field in fields(TaskBatch)}),
            tuple(description["settings"]),
            description["about"],
        )
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {' '.join(str(error).split())[:200]}.") from error
    _check(simulator, tensors, path)
    return simulator


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = read_json(path)
    except InputError as error:
        raise InputError(f"{str(folder)!r} holds no simulator: {error}") from error
    expected = {"schema": SCHEMA, "features": list(FEATURE_NAMES)}
    for key, value in expected.items():
        if description.get(key) != value:
            raise InputError(f"{str(path)!r} has another {key} than this version of sec-rl; calibrate again.")
    if not isinstance(description.get("settings"), list) or not isinstance(description.get("about"), dict):
        raise InputError(f"{str(path)!r} lacks its settings or where it comes from.")
    return description


def _check(simulator: Simulator, tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Refuse tensors that do not fit together, or hold values that are no numbers."""
    for name, value in tensors.items():
        if value.dtype != np.float64 or not np.isfinite(value).all():
            raise InputError(f"{str(path)!r} holds values in {name!r} that are no numbers.")
    ensemble, members, n = simulator.ensemble, simulator.ensemble.n_members, len(DEVIATION_NAMES)
    shapes = {
        "effect": (2, n),
        "ease": (2, n),
        "fragility": (2,),
        "powers": (2, N_POWERS),
        "abundance": (2,),
        "family": (),
    }
    for name, rest in shapes.items():
        shape = getattr(ensemble, name).shape
        if shape != (members, *rest):
            raise InputError(f"{str(path)!r}: {name} has shape {shape}, not {(members, *rest)}.")
    lengths = {len(getattr(simulator.tasks, field.name)) for field in fields(TaskBatch)}
    if lengths != {len(simulator.names)} or simulator.noise.weights.shape != (2, N_NOISE_WEIGHTS) or not members:
        raise InputError(f"{str(path)!r}: tensors do not fit together.")
