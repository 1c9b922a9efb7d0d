"""Many simulated runs at once, in numpy: one lane per run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.simulator.features import Segment, early_removal, features
from sec_rl.backends.simulator.model import Simulator
from sec_rl.backends.simulator.tasks import Lanes, TaskBatch, accuracy_of, loss_of
from sec_rl.data.least_rows import least_rows

# Standard normal draws per segment: process noise of accuracy and loss, and of the validation sample.
N_NOISE = 3
# Rows of the validation sample whose noise an observed accuracy carries; recorded episodes have as many.
VALIDATION_ROWS = 300


@dataclass(frozen=True)
class Opening:
    """What opens lanes, an entry per lane.

    Attributes:
        tasks: their tasks.
        n_segments: segments of each run, at least 1; noise is drawn for all of them at the opening.
        members: member of the ensemble that simulates each; `sensitivity`: the task's own, above 0.
        noise: (lanes, segments, 3) standard normal; as many segments as the longest run has.
        sample: (lanes,) standard normal: what the rows of the validation sample add in every segment.
    """

    tasks: TaskBatch
    n_segments: NDArray[np.int64]
    members: NDArray[np.int64]
    sensitivity: NDArray[np.float64]
    noise: NDArray[np.float64]
    sample: NDArray[np.float64]


def draw_opening(
    simulator: Simulator, tasks: TaskBatch, n_segments: NDArray[np.int64], generator: np.random.Generator
) -> Opening:
    """Draw members, sensitivities, noise and validation samples for tasks."""
    members = simulator.ensemble.draw(tasks.family, generator)
    sensitivity = np.exp(simulator.noise.sensitivity * generator.standard_normal(len(tasks)))
    noise = generator.standard_normal((len(tasks), int(n_segments.max()), N_NOISE))
    return Opening(tasks, n_segments, members, sensitivity, noise, generator.standard_normal(len(tasks)))


class SimulatorLanes:
    """Runs side by side; they may differ in task, length and progress.

    Args:
        simulator: fitted dynamics.
        opening: opens all lanes.
        max_segments: longest run that a lane will ever hold.

    Attributes:
        segment: (lanes,) segments finished.
        data: (lanes,) data ratio in use; `compression`: compression ratio.
        labels: (lanes,) share of the pool's labels bought.
        accuracy: (lanes,) observed validation accuracy; `loss`: in nats.
    """

    def __init__(self, simulator: Simulator, opening: Opening, max_segments: int) -> None:
        n = len(opening.tasks)
        self._simulator = simulator
        self.tasks = opening.tasks.take(np.arange(n))
        self.n_segments = opening.n_segments.astype(np.float64)
        self._members, self._sensitivity = opening.members.copy(), opening.sensitivity.copy()
        self._noise, self._sample = np.zeros((n, max_segments, N_NOISE)), opening.sample.copy()
        self.segment, self.data, self.compression = np.zeros(n), np.zeros(n), np.zeros(n)
        self.labels, self._early = np.zeros(n), np.zeros(n)
        self.accuracy, self.loss = np.zeros(n), np.zeros(n)
        # Skill of accuracy and of loss as they truly are.
        self._state = np.zeros((n, 2))
        self._before: dict[str, Any] = {}
        self.open(np.arange(n), opening)

    def open(self, lanes: NDArray[np.int64], opening: Opening) -> None:
        """Start new runs in some lanes."""
        self.tasks.put(lanes, opening.tasks)
        self.n_segments[lanes] = opening.n_segments
        self._members[lanes], self._sensitivity[lanes] = opening.members, opening.sensitivity
        self._noise[lanes, : opening.noise.shape[1]] = opening.noise
        self._sample[lanes] = opening.sample
        for column in (self.segment, self.data, self.compression, self.labels, self._early):
            column[lanes] = 0.0
        tasks = opening.tasks
        self._state[lanes] = np.stack([tasks.start_accuracy, tasks.start_loss], axis=1)
        self.accuracy[lanes] = accuracy_of(tasks.start_accuracy, tasks)
        self.loss[lanes] = loss_of(tasks.start_loss, tasks)

    def advance(self, ratios: NDArray[np.float64], levers: NDArray[np.float64]) -> None:
        """Train one segment in every lane.

        Args:
            ratios: (lanes, 2) data and compression ratio to realise.
            levers: (lanes, 5) in the order of `Levers`.
        """
        names = ("data", "compression", "_early", "_state", "accuracy", "loss")
        self._before = {name: getattr(self, name).copy() for name in names}
        # A batch is small beside any pool that was recorded.
        least = least_rows(1, self.tasks.n_classes, self.tasks.pool_size)
        rows = np.maximum(np.round(ratios[:, 0] * self.tasks.pool_size), least)
        self.data = np.minimum(rows / self.tasks.pool_size, 1.0)
        self.labels = np.maximum(self.labels, self.data)
        self.compression = ratios[:, 1].copy()
        before = self._before["compression"]
        self._early = early_removal(self._early, self.segment, self.n_segments, before, self.compression)
        segment = Segment(self.segment, self.n_segments, before, self.compression, self._early, self.data, levers)
        inputs = features(segment, self.tasks)
        after = self._simulator.ensemble.step(self._members, inputs, self._state, self._sensitivity)
        noise = self._noise[np.arange(len(self.segment)), self.segment.astype(np.int64)]
        self._state = self._simulator.noise.disturb(inputs, after, noise[:, :2])
        self.segment = self.segment + 1.0
        self._observe(noise[:, 2])

    def rollback(self, lanes: NDArray[np.bool_]) -> None:
        """Put the model of some lanes back to where it was before the last segment; what was spent stays spent."""
        for name, old in self._before.items():
            new = getattr(self, name)
            new[lanes] = old[lanes]

    @property
    def true_accuracy(self) -> Lanes:
        """Validation accuracy without the noise of the sample: what the finished model has on all rows."""
        return accuracy_of(self._state[:, 0], self.tasks)

    @property
    def size_ratio(self) -> Lanes:
        """Artefact bytes over dense fp32 bytes."""
        return self._simulator.curves.size_ratio(self.compression, self.tasks.size_open)

    @property
    def latency_ratio(self) -> Lanes:
        """Latency over that of the dense model in the same format."""
        return self._simulator.curves.latency_ratio(self.compression)

    def state_dict(self) -> dict[str, NDArray[np.float64]]:
        """Return everything that changes, as arrays."""
        own = ("n_segments", "segment", "data", "compression", "labels", "_early", "accuracy", "loss", "_state")
        arrays = {
            name: getattr(self, name).copy() for name in (*own, "_members", "_sensitivity", "_noise", "_sample")
        }
        return arrays | {f"task.{name}": value.copy() for name, value in vars(self.tasks).items()}

    def load_state_dict(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on from a state."""
        tasks = {name.removeprefix("task."): value for name, value in state.items() if name.startswith("task.")}
        self.tasks = TaskBatch(**{name: value.copy() for name, value in tasks.items()})
        for name, value in state.items():
            if not name.startswith("task."):
                setattr(self, name, value.copy())

    def _observe(self, noise: Lanes) -> None:
        """Turn skills into what validation shows: a sample's accuracy has the noise of its size.

        Most of that noise is a matter of which rows are in the sample, and stays; the rest comes anew every time.
        """
        true, stays = self.true_accuracy, self._simulator.noise.persistence
        mixed = np.sqrt(stays) * self._sample + np.sqrt(1.0 - stays) * noise
        sampled = true + np.sqrt(true * (1.0 - true) / VALIDATION_ROWS) * mixed
        self.accuracy = np.clip(sampled, 0.0, 1.0)
        self.loss = loss_of(self._state[:, 1], self.tasks)
