"""Many runs at once: arrays with one entry per lane, from which observation and utility are computed.

One run is a batch of one, so that real training and the vectorised simulator share every formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.readings import accuracy, bounded_loss
from sec_rl.values import Metrics, Preference

Lanes = NDArray[np.float64]

# One segment's accuracy is noisy; three tell a trend and still turn quickly.
SLOPE_WINDOW = 3


@dataclass(frozen=True)
class StateBatch:
    """Where runs stand; every entry is (lanes,) and finite.

    Attributes:
        segment: segments done.
        n_segments: segments of the run.
        n_classes: classes of the task.
        data_ratio: share of the pool in use.
        compression_ratio: share of the prunable cost that is gone.
        accuracy: validation accuracy, in [0, 1].
        loss: bounded loss, in [0, 1], see `readings.bounded_loss`.
        first_accuracy: accuracy after the first segment; that of opening before it.
        best_accuracy: the best so far.
        accuracy_before: accuracy `span` segments ago.
        loss_before: bounded loss `span` segments ago.
        span: segments the slopes look back, in [1, 3].
        label_fraction: labels bought over the pool, in [0, 1].
        passes_fraction: passes over the budget, in [0, 1].
        size_ratio: artefact bytes over dense fp32 bytes.
        latency_ratio: latency over dense in the same format.
    """

    segment: Lanes
    n_segments: Lanes
    n_classes: Lanes
    data_ratio: Lanes
    compression_ratio: Lanes
    accuracy: Lanes
    loss: Lanes
    first_accuracy: Lanes
    best_accuracy: Lanes
    accuracy_before: Lanes
    loss_before: Lanes
    span: Lanes
    label_fraction: Lanes
    passes_fraction: Lanes
    size_ratio: Lanes
    latency_ratio: Lanes

    @classmethod
    def of(cls, history: Sequence[Metrics]) -> StateBatch:
        """Return the one lane of a session's history, oldest first."""
        now = history[-1]
        accuracies = [accuracy(metrics) for metrics in history]
        span = min(SLOPE_WINDOW, len(history) - 1)
        values = {
            "segment": now.segment,
            "n_segments": now.n_segments,
            "n_classes": now.n_classes,
            "data_ratio": now.data_ratio,
            "compression_ratio": now.compression_ratio,
            "accuracy": accuracies[-1],
            "loss": bounded_loss(now),
            "first_accuracy": accuracies[min(1, len(history) - 1)],
            "best_accuracy": max(accuracies),
            "accuracy_before": accuracies[-1 - span],
            "loss_before": bounded_loss(history[-1 - span]),
            "span": max(span, 1),
            "label_fraction": now.label_fraction,
            "passes_fraction": now.passes_fraction,
            "size_ratio": now.size_ratio,
            "latency_ratio": now.latency_ratio,
        }
        return cls(**{name: np.array([value], np.float64) for name, value in values.items()})


@dataclass
class PreferenceBatch:
    """What each lane's user wants; every entry is (lanes,), NaN where there is no target.

    Attributes:
        accuracy_weight: as in `Preference`; likewise the other weights and targets.
        format_speedup: dense fp32 latency over that of the dense model in the artefact's format, above 0. It comes
            for free, so the speed-up that is left to pruning is the target divided by it.
    """

    accuracy_weight: Lanes
    size_weight: Lanes
    latency_weight: Lanes
    label_weight: Lanes
    target_speedup: Lanes
    target_size_ratio: Lanes
    max_accuracy_drop: Lanes
    format_speedup: Lanes

    @classmethod
    def of(cls, preferences: Sequence[Preference], format_speedup: float = 1.0) -> PreferenceBatch:
        """Return one lane per preference."""
        entries = {
            field.name: np.array([getattr(each, field.name) for each in preferences], np.float64)  # None becomes NaN
            for field in fields(Preference)
        }
        return cls(**entries, format_speedup=np.full(len(preferences), format_speedup))
