"""Trackers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from sec_rl.errors import MissingDependencyError, unknown_name
from sec_rl.trackers.mlflow import MlflowTracker
from sec_rl.trackers.seam import Tracker
from sec_rl.trackers.tensorboard import TensorBoardTracker
from sec_rl.trackers.wandb import WandbTracker

TRACKERS: Mapping[str, Callable[[Path], Tracker]] = {
    "tensorboard": TensorBoardTracker,
    "wandb": WandbTracker,
    "mlflow": MlflowTracker,
}


def check_tracker(name: str) -> None:
    """Say at once what would fail when the first numbers come.

    Raises:
        InputError: no tracker has this name.
        MissingDependencyError: its package is not installed.
    """
    if name not in TRACKERS:
        raise unknown_name("tracker", name, TRACKERS)
    if find_spec(name) is None:
        extra = f"pip install 'sec-rl[{name}]'"
        raise MissingDependencyError(f"{name} is not installed; --tracker {name} needs it: {extra}.")


def open_tracker(name: str, folder: Path) -> Tracker:
    """Open a tracker for a run folder.

    Args:
        name: a key of `TRACKERS`.
        folder: of the run.

    Raises:
        InputError: see `check_tracker`, likewise MissingDependencyError.
    """
    check_tracker(name)
    return TRACKERS[name](folder)
