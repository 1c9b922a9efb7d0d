"""What the simulator knows of a task, and how new tasks are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Lanes = NDArray[np.float64]

# Drawn tasks mix two recorded ones and move a little away from both.
_JITTER = 0.15
# Accuracy and loss are told apart from chance by at least this much.
_LEAST_GAP = 0.05


@dataclass(frozen=True)
class TaskBatch:
    """Descriptors of tasks, one entry per lane.

    What dense training on all labels reaches, and how fast, are descriptors: one ordinary training of the task
    measures them. Everything else follows from counting rows and classes and from the opened session.

    Attributes:
        n_classes: classes, at least 2.
        majority: share of the most frequent class: the accuracy of a model that has learned nothing else.
        pool_size: rows of the labelled pool.
        budget: example passes of the run.
        dense_accuracy: of dense training on all labels, in [0, 1].
        dense_loss: of the same, in nats.
        dense_area: relative accuracy of dense training, averaged over its segments: 1 is learned at once.
        size_open: artefact bytes over dense fp32 bytes before anything is removed: what int8 and the vocabulary give.
        start_accuracy: of the opened session, see `relative_accuracy`.
    """

    n_classes: Lanes
    majority: Lanes
    pool_size: Lanes
    budget: Lanes
    dense_accuracy: Lanes
    dense_loss: Lanes
    dense_area: Lanes
    size_open: Lanes
    start_accuracy: Lanes

    def __len__(self) -> int:
        return len(self.n_classes)

    def take(self, lanes: NDArray[np.int64] | Sequence[int]) -> TaskBatch:
        """Return some of the tasks."""
        return TaskBatch(**{field.name: getattr(self, field.name)[lanes] for field in fields(self)})

    def put(self, lanes: NDArray[np.int64], tasks: TaskBatch) -> None:
        """Replace some of the tasks."""
        for field in fields(self):
            getattr(self, field.name)[lanes] = getattr(tasks, field.name)


def accuracy_gap(tasks: TaskBatch) -> Lanes:
    """Return what there is to learn: dense accuracy over the majority's, at least 0.05."""
    return np.maximum(tasks.dense_accuracy - tasks.majority, _LEAST_GAP)


def loss_gap(tasks: TaskBatch) -> Lanes:
    """Return the same in nats: the loss of a uniform guess minus the dense loss, at least 0.05."""
    return np.maximum(np.log(tasks.n_classes) - tasks.dense_loss, _LEAST_GAP)


def relative_accuracy(accuracy: Lanes, tasks: TaskBatch) -> Lanes:
    """Return accuracy as a share of what there is to learn: 0 is the majority's, 1 the dense model's, clipped to
    [-1, 1.5]: where there is little to learn, one validation row is much.
    """
    return np.clip((accuracy - tasks.majority) / accuracy_gap(tasks), -1.0, 1.5)


def relative_loss(loss: Lanes, tasks: TaskBatch) -> Lanes:
    """Return the loss on the same scale: 0 is a uniform guess, 1 the dense model, 1.5 at most and -1 at least."""
    return np.clip((np.log(tasks.n_classes) - loss) / loss_gap(tasks), -1.0, 1.5)


def draw_tasks(recorded: TaskBatch, n: int, generator: np.random.Generator) -> TaskBatch:
    """Draw tasks that nobody recorded: each between two recorded ones, with jitter (domain randomisation).

    Args:
        recorded: what there is, at least one.
        n: how many to draw.
        generator: decides.
    """
    first, second = generator.integers(0, len(recorded), (2, n))
    weight = generator.beta(0.5, 0.5, n)
    values = {}
    for field in fields(TaskBatch):
        column = _to_line(field.name, getattr(recorded, field.name), recorded)
        spread = float(column.std()) * _JITTER
        mixed = weight * column[first] + (1.0 - weight) * column[second] + spread * generator.normal(size=n)
        values[field.name] = np.clip(mixed, column.min() - spread, column.max() + spread)
    n_classes = np.maximum(np.round(np.exp(values["n_classes"])), 2.0)
    majority = 1.0 / n_classes + (1.0 - 1.0 / n_classes) * _sigmoid(values["majority"])
    return TaskBatch(
        n_classes,
        majority,
        np.round(np.exp(values["pool_size"])),
        np.round(np.exp(values["budget"])),
        majority + (1.0 - majority) * _sigmoid(values["dense_accuracy"]),
        np.log(n_classes) * _sigmoid(values["dense_loss"]),
        np.clip(values["dense_area"], 0.1, 1.0),
        np.clip(values["size_open"], 0.02, 0.5),
        values["start_accuracy"],
    )


def _to_line(name: str, column: Lanes, tasks: TaskBatch) -> Lanes:
    """Map a descriptor to a scale on which mixing two of them makes sense."""
    if name in ("n_classes", "pool_size", "budget"):
        return np.log(column)
    if name == "majority":
        return _logit((column - 1.0 / tasks.n_classes) / (1.0 - 1.0 / tasks.n_classes))
    if name == "dense_accuracy":
        return _logit((column - tasks.majority) / (1.0 - tasks.majority))
    if name == "dense_loss":
        return _logit(column / np.log(tasks.n_classes))
    return column


def _logit(share: Lanes) -> Lanes:
    share = np.clip(share, 0.01, 0.99)
    return np.log(share / (1.0 - share))


def _sigmoid(value: Lanes) -> Lanes:
    return 1.0 / (1.0 + np.exp(-value))
