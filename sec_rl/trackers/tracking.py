"""What of a run, and of a training, a tracker is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sec_rl.trackers.opening import check_tracker, open_tracker
from sec_rl.trackers.seam import Tracker
from sec_rl.values import Metrics

_RESULTS = ("test_accuracy", "validation_accuracy", "macro_f1", "perplexity", "label_fraction", "size_bytes")


class _Evaluation(Protocol):
    """What is read of a progress report; a dataclass that also has `difference` and `mean_return`."""

    @property
    def steps(self) -> int:
        """Environment steps so far."""


class Tracking:
    """Callbacks that tell a tracker, opened with the first numbers: only then the run has its folder.

    Args:
        name: a key of `sec_rl.trackers.TRACKERS`.
        folder: of the run or the training.

    Raises:
        InputError: no tracker has this name.
        MissingDependencyError: its package is not installed.
    """

    def __init__(self, name: str, folder: Path) -> None:
        check_tracker(name)
        self._name, self._folder = name, folder
        self._tracker: Tracker | None = None

    def segment(self, metrics: Metrics, _structure: Mapping[str, Any]) -> None:
        """Log where a run stands after a segment; the step is the segment's number."""
        self._opened().log(metrics.segment, _numbers(metrics.to_dict(), "run"))

    def progress(self, progress: _Evaluation) -> None:
        """Log an evaluation of a training; the step counts environment steps."""
        values: Any = progress
        self._opened().log(progress.steps, _numbers(asdict(values), "train"))

    def result(self, result: Mapping[str, Any]) -> None:
        """Log what the artefact measured, and close."""
        values = {name: result.get(name) for name in _RESULTS}
        values |= {f"{batch}_p50_ms": times["p50"] for batch, times in result["latency_ms"].items()}
        self._opened().finish(_numbers(values, "result"))

    def scores(self, scores: Mapping[str, Any]) -> None:
        """Log the final scores of a policy, and close."""
        self._opened().finish(_numbers(scores, "score"))

    def _opened(self) -> Tracker:
        if self._tracker is None:
            self._tracker = open_tracker(self._name, self._folder)
        return self._tracker


def _numbers(values: Mapping[str, Any], group: str) -> dict[str, float]:
    """Return the finite numbers among the values; what is nested is joined with a slash."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{group}/{name}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{group}/{name}"] = float(value)
    return found
