"""A fitted simulator: dynamics, noise, costs and the tasks it was fitted to; and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sec_rl.backends.simulator.curves import CostCurves
from sec_rl.backends.simulator.dynamics import N_ANSWERS, N_STATE, Ensemble
from sec_rl.backends.simulator.features import FEATURE_NAMES, REMOVAL
from sec_rl.backends.simulator.tasks import TaskBatch
from sec_rl.errors import InputError
from sec_rl.run_folder import write_atomically

SCHEMA, DESCRIPTION, WEIGHTS = 1, "simulator.json", "simulator.safetensors"
_MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class Noise:
    """Residual noise of a segment: its logarithm is linear in a few features.

    Attributes:
        weights: (2, 4) for relative accuracy and loss: constant, learning rate, removal, what is missing
            to the dense level.
    """

    weights: NDArray[np.float64]

    def scale(self, inputs: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standard deviations, (lanes, 2).

        Args:
            inputs: (lanes, features).
            after: (lanes, 2) relative accuracy and loss, as predicted.
        """
        scale: NDArray[np.float64] = np.exp(np.clip(noise_basis(inputs, after[:, 0]) @ self.weights.T, -7.0, -1.0))
        return scale


def noise_basis(inputs: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the noise's logarithm is linear in, (lanes, 4)."""
    rate = inputs[:, FEATURE_NAMES.index("learning_rate")]
    return np.stack([np.ones(len(rate)), rate, inputs[:, REMOVAL], np.clip(1.0 - accuracy, 0.0, 1.0)], axis=1)


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


def save_simulator(simulator: Simulator, folder: Path) -> None:
    """Write `simulator.json` and `simulator.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    ensemble, curves = simulator.ensemble, simulator.curves
    tensors = {"mean": ensemble.mean, "scale": ensemble.scale, "noise": simulator.noise.weights}
    for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        tensors |= {f"weight.{layer}": weight, f"bias.{layer}": bias}
    tensors |= {f"curve.{field.name}": getattr(curves, field.name) for field in fields(curves)}
    tensors |= {f"task.{field.name}": getattr(simulator.tasks, field.name) for field in fields(TaskBatch)}
    aside = folder / f"{WEIGHTS}.new"
    save_file({name: np.ascontiguousarray(value, np.float64) for name, value in tensors.items()}, aside)
    aside.chmod(0o644)
    aside.replace(folder / WEIGHTS)
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
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{str(path)!r} is larger than {_MOST_BYTES} bytes; that is no simulator.")
        tensors = load_file(path)
        ensemble = Ensemble(
            tensors["mean"],
            tensors["scale"],
            (tensors["weight.0"], tensors["weight.1"], tensors["weight.2"]),
            (tensors["bias.0"], tensors["bias.1"], tensors["bias.2"]),
        )
        simulator = Simulator(
            ensemble,
            Noise(tensors["noise"]),
            CostCurves(*(tensors[f"curve.{field.name}"] for field in fields(CostCurves))),
            TaskBatch(**{field.name: tensors[f"task.{field.name}"] for field in fields(TaskBatch)}),
            tuple(description["settings"]),
            description["about"],
        )
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}.") from error
    _check(simulator, tensors, path)
    return simulator


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(folder)!r} holds no simulator: {path.name} cannot be read ({error}).") from error
    expected = {"schema": SCHEMA, "features": list(FEATURE_NAMES)}
    for key, value in expected.items():
        if not isinstance(description, dict) or description.get(key) != value:
            raise InputError(f"{str(path)!r} has another {key} than this version of sec-rl; calibrate again.")
    if not isinstance(description.get("settings"), list) or not isinstance(description.get("about"), dict):
        raise InputError(f"{str(path)!r} lacks its settings or where it comes from.")
    return dict(description)


def _check(simulator: Simulator, tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Refuse tensors that do not fit together, or hold values that are no numbers."""
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise InputError(f"{str(path)!r} holds values in {name!r} that are no numbers.")
    n_in = len(FEATURE_NAMES) + N_STATE
    members = simulator.ensemble.n_members
    for layer, (weight, bias) in enumerate(zip(simulator.ensemble.weights, simulator.ensemble.biases, strict=True)):
        if weight.ndim != 3 or weight.shape[:2] != (members, n_in) or bias.shape != (members, weight.shape[2]):
            raise InputError(f"{str(path)!r}: layer {layer} has shape {weight.shape}, bias {bias.shape}.")
        n_in = weight.shape[2]
    lengths = {len(getattr(simulator.tasks, field.name)) for field in fields(TaskBatch)}
    if n_in != N_ANSWERS or lengths != {len(simulator.names)} or simulator.noise.weights.shape != (2, 4):
        raise InputError(f"{str(path)!r}: tensors do not fit together.")
