"""Interquartile means and probabilities of improvement, with stratified bootstrap intervals.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice"; their library does
not import with current pandas, and scipy has the pieces. Strata are families: what is resampled within each are its
worlds, with all preferences of a world together, since these share its task and are no independent draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.estimates import Estimate
from sec_rl.errors import InputError

_RESAMPLES, _BATCH, _TRIM = 2000, 50, 0.25
Values = NDArray[np.float64]


def gaps(ours: Sequence[Values], theirs: Sequence[Values]) -> list[Values]:
    """Return what is ahead of what, run by run; per family (worlds, preferences) each."""
    return [mine - other for mine, other in zip(ours, theirs, strict=True)]


def interquartile(values: Sequence[Values]) -> Estimate:
    """Return the mean of the middle half with its 95 % interval.

    Args:
        values: per family (worlds, preferences).
    """
    return _estimate(values, lambda flat: stats.trim_mean(flat, _TRIM, axis=-1))


def mean(values: Sequence[Values]) -> Estimate:
    """Return the mean with its 95 % interval, see `interquartile`."""
    return _estimate(values, lambda flat: flat.mean(axis=-1))


def improvement(ours: Sequence[Values], theirs: Sequence[Values]) -> Estimate:
    """Return the share of runs in which ours is ahead, ties counting half.

    Runs are paired: the same world, the same preference. (Agarwal et al. compare every run with every other, which
    suits methods that share nothing.)
    """
    gaps = [mine - other for mine, other in zip(ours, theirs, strict=True)]
    return mean([(gap > 0.0) + 0.5 * (gap == 0.0) for gap in gaps])


def lower_end(found: Estimate) -> Estimate:
    """Return the lower end of an interval as an estimate of its own: what has to be above 0 to exclude it.

    Raises:
        InputError: there is no interval.
    """
    if found.low is None:
        raise InputError("One world per family gives no interval; there must be two seeds at least.")
    return Estimate(found.low, None, None, (found.low,))


def _estimate(values: Sequence[Values], statistic: Callable[[Values], Any]) -> Estimate:
    if not values or any(not each.size for each in values):
        raise InputError("There is no value to take the mean of.")
    value = float(statistic(np.concatenate([each.ravel() for each in values])))
    each_family = tuple(float(statistic(each.ravel())) for each in values)
    if min(len(each) for each in values) == 1:
        return Estimate(value, None, None, each_family)

    def resampled(*worlds: NDArray[np.int64], axis: int = -1) -> Any:
        # scipy resamples the numbers of the worlds; each brings its row of preferences along.
        picked = [each[rows.astype(np.int64)] for each, rows in zip(values, worlds, strict=True)]
        return statistic(np.concatenate([each.reshape(*each.shape[:-2], -1) for each in picked], axis=-1))

    found = stats.bootstrap(
        tuple(np.arange(len(each)) for each in values),
        resampled,
        vectorized=True,
        paired=False,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high), each_family)
