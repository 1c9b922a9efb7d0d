"""The preferences that a policy learns for.

=====================  ==================================================================================
what                   distribution
=====================  ==================================================================================
each weight            its default times 4^u, u uniform in [-1, 1]
speed-up target        with probability 0.4: what is left to pruning, uniform in its logarithm from 1.05 to 8
size target            with probability 0.4: the opened session's size times 2^-v, v uniform in [0.1, 1.6]
accuracy limit         with probability 0.4: uniform from 0.5 to 5 points
format's own speed-up  uniform from 3 to 6 where there is a speed-up target
=====================  ==================================================================================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.batch import PreferenceBatch
from sec_rl.values import Preference

_DEFAULT = Preference()
_FACTOR = 4.0
_SPREAD = np.log(_FACTOR)
# Of the preferences that are drawn.
LEAST_ACCURACY_WEIGHT = _DEFAULT.accuracy_weight / _FACTOR
_WITH_TARGET = 0.4


def draw_preferences(size_open: NDArray[np.float64], generator: np.random.Generator) -> PreferenceBatch:
    """Draw a preference per lane.

    Args:
        size_open: (lanes,) size ratio of the opened sessions; size targets are relative to it.
        generator: decides.
    """
    n = len(size_open)
    weights = _weights(n, generator)
    present = generator.random((3, n)) < _WITH_TARGET
    format_speedup = generator.uniform(3.0, 6.0, n)
    speedup = format_speedup * np.exp(generator.uniform(np.log(1.05), np.log(8.0), n))
    size = np.clip(size_open * np.exp2(-generator.uniform(0.1, 1.6, n)), 1e-3, 1.0)
    drop = generator.uniform(0.5, 5.0, n)
    return PreferenceBatch(
        **weights,
        target_speedup=np.where(present[0], speedup, np.nan),
        target_size_ratio=np.where(present[1], size, np.nan),
        max_accuracy_drop=np.where(present[2], drop, np.nan),
        format_speedup=np.where(present[0], format_speedup, 1.0),
    )


def draw_weights(generator: np.random.Generator) -> Preference:
    """Draw one preference without targets."""
    return Preference(**{name: float(column[0]) for name, column in _weights(1, generator).items()})


def fixed_preference(preference: Preference, n: int) -> PreferenceBatch:
    """Return the same preference in every lane."""
    return PreferenceBatch.of([preference] * n)


def _weights(n: int, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    return {
        name: getattr(_DEFAULT, name) * np.exp(generator.uniform(-_SPREAD, _SPREAD, n))
        for name in ("accuracy_weight", "size_weight", "latency_weight", "label_weight")
    }
