"""What a method spent on a task, and what it has to show after any number of trainings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.worlds import ACCURACY, LABELS, LATENCY, MEASURED, SIZE, UTILITY, Outcomes

# The front's reference: this much of accuracy lost against dense, and every cost a tenth above that of the dense
# model in int8; a model that saves nothing in one cost would count for nothing otherwise, whatever else it saves.
WORST_DROP, BEYOND = 0.1, 1.1


@dataclass(frozen=True)
class Spent:
    """The cost of one model for one preference, all trainings counted.

    Attributes:
        trainings: on the left-out task, those that were thrown away included.
        passes: example passes of them.
        seconds: what so many passes took when the family was recorded.
        recorded_passes: example passes of the episodes of other tasks that the method learned from, once for all
            tasks and preferences to come.
    """

    trainings: int
    passes: float
    seconds: float
    recorded_passes: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)


def spend(trainings: int, passes_each: float, seconds_per_pass: float, recorded_passes: float = 0.0) -> Spent:
    """Return the cost of trainings of `passes_each` example passes."""
    passes = trainings * passes_each
    return Spent(trainings, passes, passes * seconds_per_pass, recorded_passes)


def kept(found: Outcomes, trainings: int) -> Outcomes:
    """Return what is kept after some trainings: the one that measured best, which need not be the one that is best.

    Args:
        found: (..., trainings, 6).
        trainings: that were spent, at least 1.

    Returns:
        (..., 6).
    """
    best = found[..., :trainings, MEASURED].argmax(axis=-1)
    return np.take_along_axis(found, best[..., None, None], axis=-2)[..., 0, :]


def curve(found: Outcomes) -> NDArray[np.float64]:
    """Return the final utility of what is kept after 1, 2, ... trainings, (..., trainings)."""
    return np.stack([kept(found, n)[..., UTILITY] for n in range(1, found.shape[-2] + 1)], axis=-1)


def overtakes(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> int | None:
    """Return after how many trainings a search is ahead, by the mean over all runs; None: never.

    Args:
        ours: (runs,) final utility with one training.
        theirs: (runs, trainings) of the search, see `curve`.
    """
    ahead = np.flatnonzero(theirs.mean(axis=0) > ours.mean())
    return int(ahead[0]) + 1 if len(ahead) else None


def front_points(found: Outcomes, dense_accuracy: float, size_open: float) -> NDArray[np.float64]:
    """Return trained models as costs to be small, (models, 4), each 1 at the reference and 0 at best.

    The entries are accuracy lost against dense over `WORST_DROP` (below 0 where it is above dense); bytes over those
    of the opened session, latency over dense in the same format, and labels bought, each over `BEYOND`.
    """
    models = found.reshape(-1, found.shape[-1])
    lost = (dense_accuracy - models[:, ACCURACY]) / WORST_DROP
    costs = models[:, SIZE] / size_open, models[:, LATENCY], models[:, LABELS]
    return np.stack([lost, *(cost / BEYOND for cost in costs)], axis=1)


def hypervolume(points: NDArray[np.float64]) -> float:
    """Return the volume that points dominate, up to the reference of 1 in every entry.

    Args:
        points: (models, n) costs to be small; what is beyond the reference dominates nothing.
    """
    import moocore

    return float(moocore.hypervolume(np.ascontiguousarray(points), ref=np.ones(points.shape[1])))


def hypervolumes(found: Outcomes, dense_accuracy: float, size_open: float, numbers: list[int]) -> list[float | None]:
    """Return the hypervolume after numbers of trainings, the preferences taking turns; None: it spends fewer.

    Args:
        found: (preferences, trainings, 6) of one world.
        dense_accuracy: of the world's task.
        size_open: bytes of the opened session over dense fp32 bytes.
        numbers: of trainings, over all preferences together.
    """
    in_turns = np.swapaxes(found, 0, 1).reshape(-1, found.shape[-1])
    points = front_points(in_turns, dense_accuracy, size_open)
    return [hypervolume(points[:n]) if n <= len(points) else None for n in numbers]
