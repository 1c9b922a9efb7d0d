"""TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class TensorBoardTracker:
    """Writes `FOLDER/tensorboard`; see `sec_rl.trackers.Tracker`.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._step = 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve, see `Tracker.log`."""
        self._step = step
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self, summary: Mapping[str, float]) -> None:
        """Write the last figures as points of the last step, see `Tracker.finish`."""
        self.log(self._step, summary)
        self._writer.close()
