"""Recorded episodes as padded arrays: what the simulator is fitted to and judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sec_rl.agents.traces import LEVER_COLUMNS
from sec_rl.backends.simulator.features import Segment, features
from sec_rl.backends.simulator.tasks import TaskBatch, relative_accuracy, relative_loss
from sec_rl.errors import InputError

Array = NDArray[np.float64]
SETTING = ["task", "pool_size", "budget"]


@dataclass(frozen=True)
class TraceBatch:
    """Episodes, padded to the longest one.

    Attributes:
        episodes: names; `families`, `controllers`: likewise, one per episode.
        tasks: descriptors, one per episode.
        inputs: (episodes, segments, features) of each segment.
        states: (episodes, segments + 1, 2) relative accuracy and loss; the last value goes on behind the end.
        learned: (episodes, segments), whether a segment took place and was not rolled back.
        ran: (episodes, segments), whether a segment took place.
        final: (episodes,) relative accuracy on the whole validation split.
    """

    episodes: tuple[str, ...]
    families: NDArray[np.str_]
    controllers: NDArray[np.str_]
    tasks: TaskBatch
    inputs: Array
    states: Array
    learned: NDArray[np.bool_]
    ran: NDArray[np.bool_]
    final: Array

    def __len__(self) -> int:
        return len(self.episodes)

    def take(self, rows: NDArray[np.int64] | Sequence[int]) -> TraceBatch:
        """Return some of the episodes; one may be taken twice."""
        rows = np.asarray(rows, np.int64)
        return TraceBatch(
            tuple(self.episodes[row] for row in rows),
            self.families[rows],
            self.controllers[rows],
            self.tasks.take(rows),
            self.inputs[rows],
            self.states[rows],
            self.learned[rows],
            self.ran[rows],
            self.final[rows],
        )


def recorded_tasks(table: pd.DataFrame) -> tuple[TaskBatch, tuple[str, ...]]:
    """Return the descriptors of every recorded setting, and its name.

    Raises:
        InputError: a setting lacks a dense episode, by which all others are measured.
    """
    descriptors, names = [], []
    for _, rows in table.groupby(SETTING, sort=True):
        task, pool_size, budget = (rows[name].iloc[0] for name in SETTING)
        dense = rows[rows["controller"] == "dense"].drop_duplicates("episode")
        if dense.empty:
            raise InputError(f"Task {task!r} with a pool of {pool_size} has no dense episode; record one.")
        opened = rows[rows["segment"] == 0]
        n_classes, majority = float(rows["n_classes"].iloc[0]), float(rows["majority"].iloc[0])
        accuracy, loss = float(dense["final_accuracy"].mean()), float(dense["final_loss"].mean())
        gap = max(accuracy - majority, 0.05)
        run = rows[(rows["controller"] == "dense") & (rows["segment"] > 0)]
        area = float(np.clip((run["validation_accuracy"] - majority) / gap, 0.0, 1.5).mean())
        start = max((float(opened["validation_accuracy"].mean()) - majority) / gap, -1.0)
        size = float(opened["size_ratio"].mean())
        descriptors.append((n_classes, majority, float(pool_size), float(budget), accuracy, loss, area, size, start))
        names.append(f"{task}/{pool_size}")
    return TaskBatch(*np.array(descriptors).T.copy()), tuple(names)


def trace_batch(table: pd.DataFrame, tasks: TaskBatch, names: Sequence[str]) -> TraceBatch:
    """Return all episodes of a table.

    Args:
        table: see `sec_rl.agents.traces`.
        tasks: descriptors by setting.
        names: of the settings.
    """
    groups = [rows for _, rows in table.groupby("episode", sort=True)]
    settings = [names.index(f"{rows['task'].iloc[0]}/{rows['pool_size'].iloc[0]}") for rows in groups]
    own = tasks.take(settings)
    longest = max(len(rows) for rows in groups) - 1
    n = len(groups)

    def padded(name: str) -> Array:
        return np.stack([np.pad(rows[name].to_numpy(float), (0, longest + 1 - len(rows)), "edge") for rows in groups])

    compression, data, labels = padded("compression_ratio"), padded("data_ratio"), padded("label_fraction")
    levers = np.stack([padded(name) for name in LEVER_COLUMNS], axis=2)
    accuracy, loss = padded("validation_accuracy"), padded("validation_loss")
    n_segments = np.array([float(len(rows) - 1) for rows in groups])
    inputs = []
    for t in range(longest):
        index = np.minimum(np.full(n, float(t)), n_segments - 1)
        highest = compression[:, : t + 2].max(axis=1)
        segment = Segment(
            index,
            n_segments,
            compression[:, t],
            compression[:, t + 1],
            highest,
            data[:, t + 1],
            labels[:, t + 1],
            levers[:, t + 1],
        )
        inputs.append(features(segment, own))
    states = np.stack(
        [
            np.stack([relative_accuracy(column, own) for column in accuracy.T], axis=1),
            np.stack([relative_loss(column, own) for column in loss.T], axis=1),
        ],
        axis=2,
    )
    ran = np.arange(longest)[None, :] < n_segments[:, None]
    rolled_back = padded("rolled_back")[:, 1:] > 0.5
    finals = np.array([float(rows["final_accuracy"].iloc[0]) for rows in groups])
    return TraceBatch(
        tuple(str(rows["episode"].iloc[0]) for rows in groups),
        np.array([str(rows["family"].iloc[0]) for rows in groups]),
        np.array([str(rows["controller"].iloc[0]) for rows in groups]),
        own,
        np.stack(inputs, axis=1),
        np.clip(states, -1.0, 1.5),
        ran & ~rolled_back,
        ran,
        relative_accuracy(finals, own),
    )
