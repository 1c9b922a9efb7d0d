"""Interquartile means and probabilities of improvement, with stratified bootstrap intervals.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice"; their library does
not import with current pandas. Strata are families. What is resampled within each are the learners, and the worlds
that each of them played, with all preferences of a world together, since these share its task and are no independent
draws. Whoever resamples worlds alone says how sure a few policies are, and nothing of the next one that would be
learned; scipy's bootstrap knows no such levels.
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


def interquartile(values: Sequence[Values], learners: int = 1) -> Estimate:
    """Return the mean of the middle half with its 95 % interval.

    Args:
        values: per family (worlds, preferences).
        learners: policies of one recipe that worlds took turns with, world ``i`` with number ``i % learners``.
    """
    return _estimate(values, learners, lambda flat: stats.trim_mean(flat, _TRIM, axis=-1))


def mean(values: Sequence[Values], learners: int = 1) -> Estimate:
    """Return the mean with its 95 % interval, see `interquartile`."""
    return _estimate(values, learners, lambda flat: flat.mean(axis=-1))


def improvement(ours: Sequence[Values], theirs: Sequence[Values], learners: int = 1) -> Estimate:
    """Return the share of runs in which ours is ahead, ties counting half.

    Runs are paired: the same world, the same preference. (Agarwal et al. compare every run with every other, which
    suits methods that share nothing.)
    """
    return mean([(gap > 0.0) + 0.5 * (gap == 0.0) for gap in gaps(ours, theirs)], learners)


def lower_end(found: Estimate) -> Estimate:
    """Return the lower end of an interval as an estimate of its own: what has to be above 0 to exclude it.

    Raises:
        InputError: there is no interval.
    """
    if found.low is None:
        raise InputError("One world per family gives no interval; there must be two seeds at least.")
    return Estimate(found.low, None, None, (found.low,))


def _estimate(values: Sequence[Values], learners: int, statistic: Callable[[Values], Any]) -> Estimate:
    if not values or any(not each.size for each in values):
        raise InputError("There is no value to take the mean of.")
    value = float(statistic(np.concatenate([each.ravel() for each in values])))
    each_family = tuple(float(statistic(each.ravel())) for each in values)
    if min(len(each) for each in values) == 1:
        return Estimate(value, None, None, each_family)
    generator, found = np.random.default_rng(0), []
    for _ in range(_RESAMPLES // _BATCH):
        picked = [each[_resampled(len(each), learners, generator)].reshape(_BATCH, -1) for each in values]
        found.append(statistic(np.concatenate(picked, axis=1)))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return Estimate(value, float(low), float(high), each_family)


def _resampled(n_worlds: int, learners: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the worlds of `_BATCH` resamples, (_BATCH, n_worlds): learners are drawn, and then worlds of theirs."""
    learners = min(learners, n_worlds)
    sizes = np.array([len(range(learner, n_worlds, learners)) for learner in range(learners)])
    drawn = generator.integers(0, learners, (_BATCH, learners))
    parts = []
    for turn, size in enumerate(sizes):
        learner = drawn[:, turn, None]
        parts.append(learner + learners * generator.integers(0, sizes[learner], (_BATCH, size)))
    return np.concatenate(parts, axis=1)
