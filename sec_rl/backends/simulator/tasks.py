"""What the simulator knows of a task, and how new tasks are drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.simulator.learning_curve import (
    LEAST_SPEED,
    MOST_POWER,
    MOST_SKILL,
    MOST_SPEED,
    logit,
    sigmoid,
)
from sec_rl.backends.simulator.stacked import Stacked

Lanes = NDArray[np.float64]

# Drawn tasks mix two recorded ones and move a little away from both.
_JITTER = 0.15
_COUNTS = ("n_classes", "pool_size", "budget")
# Skill below this says no more: a ruined run is ruined, and a model that is surely wrong has a loss without end.
LOWEST_SKILL = -0.5


@dataclass(frozen=True)
class TaskBatch(Stacked):
    """Descriptors of tasks, one entry per lane.

    What dense training on all labels reaches, and along which curve, are descriptors: one ordinary training of the
    task measures them. Everything else follows from counting rows and classes and from the opened session.

    Attributes:
        n_classes: classes, at least 2.
        majority: share of the most frequent class: the accuracy of a model that has learned nothing else.
        pool_size: rows of the labelled pool.
        budget: example passes of the run.
        dense_accuracy: of dense training on all labels, in [0, 1].
        dense_loss: of the same, in nats.
        accuracy_speed: speed of its learning curve, see `sec_rl.backends.simulator.learning_curve`;
            `accuracy_power`: its power; `loss_speed` and `loss_power`: those of its loss.
        size_open: artefact bytes over dense fp32 bytes before anything is removed: what int8 and the vocabulary give.
        start_accuracy: skill of the opened session, see `accuracy_skill`; `start_loss`: see `loss_skill`.
        family: number of the recorded family that the task is of, or most like, from 0.
    """

    n_classes: Lanes
    majority: Lanes
    pool_size: Lanes
    budget: Lanes
    dense_accuracy: Lanes
    dense_loss: Lanes
    accuracy_speed: Lanes
    accuracy_power: Lanes
    loss_speed: Lanes
    loss_power: Lanes
    size_open: Lanes
    start_accuracy: Lanes
    start_loss: Lanes
    family: Lanes

    def __len__(self) -> int:
        return len(self.n_classes)

    def put(self, lanes: NDArray[np.int64], tasks: TaskBatch) -> None:
        """Replace some of the tasks."""
        for field in fields(self):
            getattr(self, field.name)[lanes] = getattr(tasks, field.name)


# Descriptors of which there is something between two tasks.
_MIXED = tuple(field.name for field in fields(TaskBatch) if field.name != "family")


def accuracy_skill(accuracy: Lanes, tasks: TaskBatch) -> Lanes:
    """Return accuracy as a share of what there is to learn: 0 is the majority's, 1 is no error; in [-0.5, 0.99]."""
    return np.clip((accuracy - tasks.majority) / (1.0 - tasks.majority), LOWEST_SKILL, MOST_SKILL)


def loss_skill(loss: Lanes, tasks: TaskBatch) -> Lanes:
    """Return the loss on the same scale: 0 is that of a uniform guess, 1 is none; in [-0.5, 0.99]."""
    return np.clip(1.0 - loss / np.log(tasks.n_classes), LOWEST_SKILL, MOST_SKILL)


def accuracy_of(skill: Lanes, tasks: TaskBatch) -> Lanes:
    """Return the accuracy of a skill, in [0, 1]."""
    return np.clip(tasks.majority + skill * (1.0 - tasks.majority), 0.0, 1.0)


def loss_of(skill: Lanes, tasks: TaskBatch) -> Lanes:
    """Return the loss of a skill, in nats, at least 0."""
    return np.maximum((1.0 - skill) * np.log(tasks.n_classes), 0.0)


def draw_tasks(recorded: TaskBatch, n: int, generator: np.random.Generator) -> TaskBatch:
    """Draw tasks that nobody recorded: each between two recorded ones, with jitter (domain randomisation).

    Its family is that of the nearer one.

    Args:
        recorded: what there is, at least one.
        n: how many to draw.
        generator: decides.
    """
    first, second = generator.integers(0, len(recorded), (2, n))
    weight = generator.beta(0.5, 0.5, n)
    values = {}
    for name in _MIXED:
        column = _to_line(name, getattr(recorded, name), recorded)
        spread = float(column.std()) * _JITTER
        mixed = weight * column[first] + (1.0 - weight) * column[second] + spread * generator.normal(size=n)
        values[name] = np.clip(mixed, column.min() - spread, column.max() + spread)
    n_classes = np.maximum(np.round(np.exp(values["n_classes"])), 2.0)
    majority = 1.0 / n_classes + (1.0 - 1.0 / n_classes) * sigmoid(values["majority"])
    return TaskBatch(
        n_classes,
        majority,
        np.round(np.exp(values["pool_size"])),
        np.round(np.exp(values["budget"])),
        majority + (1.0 - majority) * sigmoid(values["dense_accuracy"]),
        np.log(n_classes) * sigmoid(values["dense_loss"]),
        np.clip(np.exp(values["accuracy_speed"]), LEAST_SPEED, MOST_SPEED),
        np.clip(np.exp(values["accuracy_power"]), 1.0, MOST_POWER),
        np.clip(np.exp(values["loss_speed"]), LEAST_SPEED, MOST_SPEED),
        np.clip(np.exp(values["loss_power"]), 1.0, MOST_POWER),
        np.clip(values["size_open"], 0.02, 0.5),
        np.clip(values["start_accuracy"], LOWEST_SKILL, MOST_SKILL),
        np.clip(values["start_loss"], LOWEST_SKILL, MOST_SKILL),
        recorded.family[np.where(weight > 0.5, first, second)],
    )


def _to_line(name: str, column: Lanes, tasks: TaskBatch) -> Lanes:
    """Map a descriptor to a scale on which mixing two of them makes sense."""
    if name in _COUNTS or name.endswith(("_speed", "_power")):
        return np.log(column)
    if name == "majority":
        return _bounded_logit((column - 1.0 / tasks.n_classes) / (1.0 - 1.0 / tasks.n_classes))
    if name == "dense_accuracy":
        return _bounded_logit((column - tasks.majority) / (1.0 - tasks.majority))
    if name == "dense_loss":
        return _bounded_logit(column / np.log(tasks.n_classes))
    return column


def _bounded_logit(share: Lanes) -> Lanes:
    return logit(np.clip(share, 0.01, 0.99))
