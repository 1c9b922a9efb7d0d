"""Targets in terms of the compression ratio: the smallest one that meets them all."""

from __future__ import annotations

from sec_rl.envs.session import OpenedSession
from sec_rl.values import Forecast, Preference

# The goal is found to this fraction of the range: the 4096th part.
HALVINGS_OF_GOAL = 12


def compression_goal(opened: OpenedSession, preference: Preference, compression_max: float) -> float | None:
    """Return the smallest compression ratio, in [0, compression_max], that meets the targets for speed and size.

    Where none does, that is `compression_max`, the closest there is (see `misses`).

    Args:
        opened: its session predicts size and latency.
        preference: with targets or without.
        compression_max: highest ratio allowed.

    Returns:
        None: there is no such target.
    """
    if preference.target_speedup is None and preference.target_size_ratio is None:
        return None
    low, high = 0.0, compression_max
    if not misses(opened.session.forecast(0.0), preference, opened.format_speedup):
        return 0.0
    for _ in range(HALVINGS_OF_GOAL):
        middle = (low + high) / 2.0
        if misses(opened.session.forecast(middle), preference, opened.format_speedup):
            low = middle
        else:
            high = middle
    return high


def misses(forecast: Forecast, preference: Preference, format_speedup: float) -> dict[str, float]:
    """Return the targets that a forecast misses, with what it reaches instead; empty when all are met."""
    reached: dict[str, float] = {}
    speedup = format_speedup / forecast.latency_ratio
    if preference.target_speedup is not None and speedup < preference.target_speedup:
        reached["target_speedup"] = speedup
    if preference.target_size_ratio is not None and forecast.size_ratio > preference.target_size_ratio:
        reached["target_size_ratio"] = forecast.size_ratio
    return reached
