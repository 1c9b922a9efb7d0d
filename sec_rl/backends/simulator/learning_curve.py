"""The learning curve of dense training: a share of what is still to be learned per unit of effort.

With effort E (the integral of the learning rate, 1 over a whole run) skill goes from its start to an asymptote by a
stretched exponential (Weibull)::

    skill(E) = asymptote - (asymptote - start) x exp(-speed x E^power)

What dense training opens with and ends at fix the asymptote; its mean on the way fixes the rest. A task that learns
slowly at first has a power above 1; one that learns at once has power 1 and a high speed, so that what a removal
takes is soon learned again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.training.schedule import WARM_UP

Array = NDArray[np.float64]

# Skill is told apart from nothing and from perfection by this much.
LEAST_SKILL, MOST_SKILL, _HIGHEST = 0.02, 0.99, 0.995
# Log-odds between the end of dense training and its asymptote, where nothing says that it came closer.
_BEYOND = 0.5
# A run that opens above its dense end has nothing to fit; it is read as having most of it.
_MOST_START = 0.8
MOST_POWER, MOST_SPEED, LEAST_SPEED = 6.0, 60.0, 0.3
_POWERS = np.linspace(1.0, MOST_POWER, 51)
_SPEEDS = np.geomspace(LEAST_SPEED, MOST_SPEED, 121)


def logit(share: Array) -> Array:
    """Return log-odds."""
    return np.log(share / (1.0 - share))


def sigmoid(value: Array) -> Array:
    """Return the share of log-odds."""
    return 1.0 / (1.0 + np.exp(-value))


def effort(progress: Array) -> Array:
    """Return the integral of the learning rate up to `progress` in [0, 1], over that of the whole run."""
    rising = np.minimum(progress, WARM_UP) ** 2 / WARM_UP
    left = np.clip(1.0 - progress, 0.0, 1.0 - WARM_UP)
    return rising + ((1.0 - WARM_UP) ** 2 - left**2) / (1.0 - WARM_UP)


def asymptote(dense: Array, start: Array, speed: Array) -> Array:
    """Return what skill tends to, such that it is `dense` at effort 1.

    Args:
        dense: skill that dense training ends at; start: that it opens with.
        speed: of the curve, above 0.
    """
    dense = np.clip(dense, LEAST_SKILL, MOST_SKILL)
    missing = np.exp(-speed)
    top = (dense - np.minimum(start, _MOST_START * dense) * missing) / (1.0 - missing)
    bounded: Array = np.clip(top, LEAST_SKILL, _HIGHEST)
    return bounded


def fit_curve(dense: float, start: float, mean: float, n_segments: int) -> tuple[float, float]:
    """Return speed and power of a dense run.

    Args:
        dense: skill at its end.
        start: skill it opened with.
        mean: of the skills after its segments.
        n_segments: how many those are.
    """
    end = np.clip(np.full(1, dense), LEAST_SKILL, MOST_SKILL)
    opened = np.minimum(np.full(1, start), _MOST_START * end)
    done = effort(np.arange(1, n_segments + 1) / n_segments)

    def means(speed: Array, power: Array) -> Array:
        top = asymptote(end, opened, speed)[:, None]
        curves = top - (top - opened) * np.exp(-speed[:, None] * done[None, :] ** power[:, None])
        return np.asarray(curves.mean(axis=1), np.float64)

    far = sigmoid(logit(end) + _BEYOND)
    slowest = np.log((far - opened) / (far - end))
    # A mean rises with the speed and falls with the power.
    if means(slowest, np.ones(1))[0] < mean:
        speeds = np.maximum(_SPEEDS, slowest)
        return float(np.interp(mean, means(speeds, np.ones_like(speeds)), speeds)), 1.0
    slow = np.broadcast_to(slowest, _POWERS.shape)
    return float(slowest[0]), float(np.interp(-mean, -means(slow, _POWERS), _POWERS))
