"""One simulated run behind the contract of a session."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import Any

import numpy as np

from sec_rl.backends.simulator.lanes import Opening, SimulatorLanes
from sec_rl.backends.simulator.model import Simulator
from sec_rl.errors import InputError
from sec_rl.values import Forecast, Levers, Metrics, Ratios


class SimulatedSession:
    """See `sec_rl.envs.session.Session` for the order of calls.

    Args:
        simulator: fitted dynamics.
        opening: of one lane; it holds everything random, so equal openings are equal runs, bit for bit.
    """

    def __init__(self, simulator: Simulator, opening: Opening) -> None:
        self._simulator = simulator
        self._n_segments = int(opening.n_segments[0])
        self._lanes = SimulatorLanes(simulator, opening, self._n_segments)
        self._can_roll_back = False

    def open(self) -> Metrics:
        """Return the metrics of segment 0."""
        return self._metrics()

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        """Simulate one segment.

        Raises:
            InputError: every segment is done.
        """
        if self._lanes.segment[0] >= self._n_segments:
            raise InputError(f"The run has {self._n_segments} segments; all are done.")
        self._lanes.advance(np.array([[ratios.data, ratios.compression]]), np.array([astuple(levers)]))
        self._can_roll_back = True
        return self._metrics()

    def rollback(self) -> Metrics:
        """Put the model back to where it was before the last segment.

        Raises:
            InputError: there is no segment to take back.
        """
        if not self._can_roll_back:
            raise InputError("There is no segment to roll back.")
        self._lanes.rollback(np.ones(1, np.bool_))
        self._can_roll_back = False
        return self._metrics()

    def forecast(self, compression: float) -> Forecast:
        """Return size and latency at a compression ratio; nothing changes."""
        at = np.array([compression])
        size = self._simulator.curves.size_ratio(at, self._lanes.tasks.size_open)
        return Forecast(float(size[0]), float(self._simulator.curves.latency_ratio(at)[0]))

    def structure(self) -> dict[str, Any]:
        """Return a structure of one block: a simulator knows how much is left, not what."""
        dense = 1000
        return {
            "heads": [],
            "ffn": [round(dense * (1.0 - float(self._lanes.compression[0])))],
            "dense_heads": 0,
            "dense_ffn": dense,
        }

    def _metrics(self) -> Metrics:
        lanes, tasks = self._lanes, self._lanes.tasks
        segment, n_classes = int(lanes.segment[0]), int(tasks.n_classes[0])
        share = segment / self._n_segments
        accuracy, loss = float(lanes.accuracy[0]), float(lanes.loss[0])
        return Metrics(
            source="simulated",
            segment=segment,
            n_segments=self._n_segments,
            n_classes=n_classes,
            data_ratio=float(lanes.data[0]),
            compression_ratio=float(lanes.compression[0]),
            validation_accuracy=accuracy,
            # Nothing is known of single classes.
            validation_macro_f1=accuracy,
            validation_loss=loss if math.isfinite(loss) else math.inf,
            labels_bought=round(float(lanes.labels[0] * tasks.pool_size[0])),
            label_fraction=float(lanes.labels[0]),
            example_passes=round(share * float(tasks.budget[0])),
            passes_fraction=share,
            size_ratio=float(lanes.size_ratio[0]),
            latency_ratio=float(lanes.latency_ratio[0]),
            seconds=0.0,
        )
