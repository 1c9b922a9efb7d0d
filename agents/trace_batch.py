"""Recorded episodes as padded arrays: what the simulator is fitted to and judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sec_rl.agents.recorded_tasks import on_all_rows, sample_shifts, setting_numbers
from sec_rl.agents.traces import LEVER_COLUMNS
from sec_rl.backends.simulator.features import Segment, early_removal, features
from sec_rl.backends.simulator.tasks import TaskBatch, accuracy_skill, loss_skill

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TraceBatch:
    """Episodes, padded to the longest one.

    Attributes:
        episodes: names; `families`, `controllers`: likewise, one per episode.
        tasks: descriptors, one per episode.
        inputs: (episodes, segments, features) of each segment.
        states: (episodes, segments + 1, 2) skill of accuracy and of loss; the last value goes on behind the end.
        learned: (episodes, segments), whether a segment took place and was not rolled back.
        ran: (episodes, segments), whether a segment took place.
        final: (episodes,) skill of the accuracy on the whole validation split.
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

    @property
    def last(self) -> NDArray[np.int64]:
        """Index of each episode's last segment, (episodes,)."""
        return np.asarray(self.ran.sum(axis=1) - 1, np.int64)

    def play(self, step: Callable[[Array, Array], Array]) -> Array:
        """Run all episodes freely from their opened session on; a segment that was rolled back changes nothing.

        Args:
            step: from inputs (episodes, features) and states (episodes, 2) of a segment to the states after it.

        Returns:
            (episodes, segments, 2) states after each segment.
        """
        state, path = self.states[:, 0], []
        for t in range(self.inputs.shape[1]):
            state = np.where(self.learned[:, t, None], step(self.inputs[:, t], state), state)
            path.append(state)
        return np.stack(path, axis=1)

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


def trace_batch(table: pd.DataFrame, tasks: TaskBatch) -> TraceBatch:
    """Return all episodes of a table.

    Args:
        table: see `sec_rl.agents.traces`.
        tasks: of `recorded_tasks` of this table.
    """
    groups = [rows for _, rows in table.groupby("episode", sort=True)]
    numbers = setting_numbers(table)
    settings = [int(numbers[rows.index[0]]) for rows in groups]
    own = tasks.take(settings)
    longest = max(len(rows) for rows in groups) - 1
    n = len(groups)

    def padded(name: str) -> Array:
        return np.stack([np.pad(rows[name].to_numpy(float), (0, longest + 1 - len(rows)), "edge") for rows in groups])

    compression, data = padded("compression_ratio"), padded("data_ratio")
    levers = np.stack([padded(name) for name in LEVER_COLUMNS], axis=2)
    n_segments = np.array([float(len(rows) - 1) for rows in groups])
    inputs, early = [], np.zeros(n)
    for t in range(longest):
        index = np.minimum(np.full(n, float(t)), n_segments - 1)
        before, after = compression[:, t], compression[:, t + 1]
        early = early_removal(early, index, n_segments, before, after)
        inputs.append(
            features(Segment(index, n_segments, before, after, early, data[:, t + 1], levers[:, t + 1]), own)
        )
    accuracy = np.stack([accuracy_skill(column, own) for column in padded("validation_accuracy").T], axis=1)
    loss = np.stack([loss_skill(column, own) for column in padded("validation_loss").T], axis=1)
    ran = np.arange(longest)[None, :] < n_segments[:, None]
    rolled_back = padded("rolled_back")[:, 1:] > 0.5
    finals = np.array([float(rows["final_accuracy"].iloc[0]) for rows in groups])
    return TraceBatch(
        tuple(str(rows["episode"].iloc[0]) for rows in groups),
        np.array([str(rows["family"].iloc[0]) for rows in groups]),
        np.array([str(rows["controller"].iloc[0]) for rows in groups]),
        own,
        np.stack(inputs, axis=1),
        np.stack([on_all_rows(accuracy, sample_shifts(table, tasks)[settings][:, None]), loss], axis=2),
        ran & ~rolled_back,
        ran,
        accuracy_skill(finals, own),
    )
