"""What the learned dynamics see of a segment: the same columns for fitting and for simulating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.simulator.tasks import TaskBatch
from sec_rl.training.schedule import WARM_UP, rates_at

Lanes = NDArray[np.float64]

FEATURE_NAMES = (
    "progress",
    "segment_share",
    "learning_rate",
    "compression_before",
    "compression",
    "removal",
    "restoration",
    "log_kept",
    "highest_compression",
    "log_labels_in_use",
    "label_fraction",
    "log_segment_passes",
    "log_classes",
    "dense_accuracy",
    "dense_loss_share",
    "dense_area",
    "majority",
    "augmentation",
    "pseudo_labels",
    "distillation",
    "depth_share",
    "effort",
)
REMOVAL, EFFORT = FEATURE_NAMES.index("removal"), FEATURE_NAMES.index("effort")
# Points at which a segment's learning rate is averaged.
_POINTS = 5


@dataclass(frozen=True)
class Segment:
    """One segment of many runs; every entry is (lanes,), levers are (lanes, 5) in the order of `Levers`.

    Attributes:
        index: segments finished before this one; `n_segments`: of the run.
        compression_before: compression ratio before; `compression`: in this segment.
        highest_compression: highest ratio so far, this segment included.
        data: data ratio of this segment.
        label_fraction: labels bought by now over the pool.
        levers: augmentation strength, augmentation share, pseudo-label share, distillation weight, depth share.
    """

    index: Lanes
    n_segments: Lanes
    compression_before: Lanes
    compression: Lanes
    highest_compression: Lanes
    data: Lanes
    label_fraction: Lanes
    levers: NDArray[np.float64]


def features(segment: Segment, tasks: TaskBatch) -> NDArray[np.float64]:
    """Return (lanes, features) in the order of `FEATURE_NAMES`."""
    share = 1.0 / segment.n_segments
    progress = segment.index * share
    points = progress[:, None] + share[:, None] * (np.arange(_POINTS) + 0.5) / _POINTS
    # What a removal costs depends on how much of what was left it takes: from 0.9 to 0.95 goes half of it.
    log_kept = _log_kept(segment.compression)
    step = _log_kept(segment.compression_before) - log_kept
    columns = (
        progress,
        share,
        rates_at(points).mean(axis=1),
        segment.compression_before,
        segment.compression,
        np.maximum(step, 0.0),
        np.minimum(step, 0.0),
        log_kept,
        segment.highest_compression,
        np.log(np.maximum(segment.data * tasks.pool_size, 1.0)),
        segment.label_fraction,
        np.log(tasks.budget * share),
        np.log(tasks.n_classes),
        tasks.dense_accuracy,
        tasks.dense_loss / np.log(tasks.n_classes),
        tasks.dense_area,
        tasks.majority,
        segment.levers[:, 0] * segment.levers[:, 1],
        segment.levers[:, 2],
        segment.levers[:, 3],
        segment.levers[:, 4],
        learning_speed(tasks.dense_area) * _effort_share(progress, share),
    )
    return np.stack(columns, axis=1)


def _log_kept(compression: Lanes) -> Lanes:
    return np.log(1.0 - np.minimum(compression, 0.97))


def learning_speed(dense_area: Lanes) -> Lanes:
    """Return the speed at which `1 - exp(-speed x effort)` has a given mean over a run, effort rising to 1.

    Effort is the learning rate's integral, so the law is that of dense training: tasks that learn slowly do so under
    every controller.

    Args:
        dense_area: (lanes,) relative accuracy of dense training, averaged over its segments.
    """
    return np.interp(dense_area, _AREAS, _SPEEDS)


def _effort_share(progress: Lanes, share: Lanes) -> Lanes:
    """Return the share of a run's effort that falls to a segment; all shares add up to 1."""
    return _effort(progress + share) - _effort(progress)


def _effort(progress: Lanes) -> Lanes:
    """Return the integral of the learning rate up to `progress`, over that of the whole run."""
    rising = np.minimum(progress, WARM_UP) ** 2 / WARM_UP
    left = np.clip(1.0 - progress, 0.0, 1.0 - WARM_UP)
    return rising + ((1.0 - WARM_UP) ** 2 - left**2) / (1.0 - WARM_UP)


_SPEEDS = np.geomspace(0.1, 100.0, 61)
_STEPS = np.linspace(0.0, 1.0, 65, dtype=np.float64)[1:]
_AREAS = (1.0 - np.exp(-_SPEEDS[:, None] * _effort(_STEPS)[None, :])).mean(axis=1)
