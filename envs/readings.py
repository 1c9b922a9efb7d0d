"""Finite readings of metrics: what observation and utility both compute from.

A run that diverges reports NaN or infinity. Each reading then takes its worst value, so that observation and reward
stay finite and the controller sees the run for what it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sec_rl.values import Metrics

# Ratios are told apart down to one in 2^10, the size of the smallest target a `Preference` takes.
HALVINGS = 10.0


def accuracy(metrics: Metrics) -> float:
    """Return the validation accuracy, in [0, 1]; 0 where it is no number."""
    return clipped(metrics.validation_accuracy, 0.0, 1.0, worst=0.0)


def bounded_loss(metrics: Metrics) -> float:
    """Return loss / (loss + ln(n_classes)), in [0, 1]: 0 is certainty, 0.5 a uniform guess, 1 divergence."""
    loss = clipped(metrics.validation_loss, 0.0, 1e9, worst=1e9)
    return loss / (loss + math.log(metrics.n_classes))


def log2_ratio(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log2 of size or latency ratios, in [-10, 1]: -1 is a halving; 0 where one is no positive number."""
    usable = np.isfinite(ratio) & (ratio > 0.0)
    logs: NDArray[np.float64] = np.clip(np.log2(np.where(usable, ratio, 1.0)), -HALVINGS, 1.0)
    return logs


def clipped(value: float, low: float, high: float, *, worst: float) -> float:
    """Return `value` within [low, high], and `worst` where it is no number."""
    return worst if math.isnan(value) else min(max(value, low), high)
