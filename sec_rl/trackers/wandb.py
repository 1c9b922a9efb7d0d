"""Weights & Biases; needs the extra `wandb`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PROJECT = "sec-rl"


class WandbTracker:
    """A run of the project `sec-rl`; see `sec_rl.trackers.Tracker`.

    Offline, in `FOLDER/wandb`, unless `WANDB_MODE` says something else; `wandb sync` sends it later.

    Args:
        folder: of the run; its name is the run's.
    """

    def __init__(self, folder: Path) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE", "offline")
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(project=PROJECT, name=folder.resolve().name, dir=str(folder), mode=mode)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve, see `Tracker.log`."""
        self._run.log(dict(values), step=step)

    def finish(self, summary: Mapping[str, float]) -> None:
        """Write the summary and close the run, see `Tracker.finish`."""
        self._run.summary.update(dict(summary))
        self._run.finish()
