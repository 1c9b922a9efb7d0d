"""What the dynamics see of a segment: the same columns for fitting and for simulating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.simulator.learning_curve import asymptote, effort
from sec_rl.backends.simulator.tasks import TaskBatch, accuracy_skill, loss_skill
from sec_rl.training.schedule import rates_at
from sec_rl.values import Levers

Lanes = NDArray[np.float64]

# In what a segment differs from dense training on all labels: all of them are 0 there.
DEVIATION_NAMES = (
    "log_removed",
    "log_labels_left_out",
    "augmentation",
    "pseudo_labels",
    "distillation",
    "depth_share",
    "early_removal",
)
FEATURE_NAMES = (
    "learning_rate",
    "removal",
    "accuracy_effort",
    "loss_effort",
    "accuracy_asymptote",
    "loss_asymptote",
    "log_rows_per_class",
    *DEVIATION_NAMES,
)
LEARNING_RATE, REMOVAL, ROWS_PER_CLASS, _EFFORT, _ASYMPTOTE = (
    FEATURE_NAMES.index(name)
    for name in ("learning_rate", "removal", "log_rows_per_class", "accuracy_effort", "accuracy_asymptote")
)
# That of accuracy, then that of loss.
EFFORT, ASYMPTOTE = slice(_EFFORT, _EFFORT + 2), slice(_ASYMPTOTE, _ASYMPTOTE + 2)
DEVIATIONS = slice(-len(DEVIATION_NAMES), None)
# Progress within which importance is learned: what is removed earlier is chosen blindly.
_BLIND = 0.1
# Points at which a segment's learning rate is averaged.
_POINTS = 5
_MOST_REMOVED, _LEAST_DATA = 0.97, 0.01
_DISTILLATION = Levers().distillation_weight


@dataclass(frozen=True)
class Segment:
    """One segment of many runs; every entry is (lanes,), levers are (lanes, 5) in the order of `Levers`.

    Attributes:
        index: segments finished before this one; `n_segments`: of the run.
        compression_before: compression ratio before; `compression`: in this segment.
        early_removal: of the run, this segment included, see `early_removal`.
        data: data ratio of this segment.
        levers: augmentation strength, augmentation share, pseudo-label share, distillation weight, depth share.
    """

    index: Lanes
    n_segments: Lanes
    compression_before: Lanes
    compression: Lanes
    early_removal: Lanes
    data: Lanes
    levers: NDArray[np.float64]


def features(segment: Segment, tasks: TaskBatch) -> NDArray[np.float64]:
    """Return (lanes, features) in the order of `FEATURE_NAMES`."""
    share = 1.0 / segment.n_segments
    progress = segment.index * share
    points = progress[:, None] + share[:, None] * (np.arange(_POINTS) + 0.5) / _POINTS
    removed = log_removed(segment.compression)
    dense = accuracy_skill(tasks.dense_accuracy, tasks), loss_skill(tasks.dense_loss, tasks)
    before, after = effort(progress), effort(np.minimum(progress + share, 1.0))
    columns = (
        rates_at(points).mean(axis=1),
        np.maximum(removed - log_removed(segment.compression_before), 0.0),
        tasks.accuracy_speed * (after**tasks.accuracy_power - before**tasks.accuracy_power),
        tasks.loss_speed * (after**tasks.loss_power - before**tasks.loss_power),
        asymptote(dense[0], tasks.start_accuracy, tasks.accuracy_speed),
        asymptote(dense[1], tasks.start_loss, tasks.loss_speed),
        np.log(tasks.pool_size / tasks.n_classes),
        removed,
        -np.log(np.clip(segment.data, _LEAST_DATA, 1.0)),
        segment.levers[:, 0] * segment.levers[:, 1],
        segment.levers[:, 2],
        # There is no teacher before something was removed.
        np.minimum(removed, 1.0) * (segment.levers[:, 3] - _DISTILLATION),
        removed * segment.levers[:, 4],
        np.minimum(segment.early_removal, removed),
    )
    return np.stack(columns, axis=1)


def log_removed(compression: Lanes) -> Lanes:
    """Return how much is gone on the scale on which damage adds up: from 0.9 to 0.95 goes half of what was left."""
    return -np.log(1.0 - np.minimum(compression, _MOST_REMOVED))


def early_removal(so_far: Lanes, index: Lanes, n_segments: Lanes, before: Lanes, after: Lanes) -> Lanes:
    """Return what a run removed before its gradients could say what to keep, the coming segment included.

    Args:
        so_far: of the segments before.
        index: segments finished; `n_segments`: of the run.
        before: compression ratio before the segment; `after`: in it.
    """
    step = np.maximum(log_removed(after) - log_removed(before), 0.0)
    total: Lanes = so_far + step * np.exp(-index / n_segments / _BLIND)
    return total
