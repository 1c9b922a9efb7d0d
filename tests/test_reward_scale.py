"""Rewards are scaled by the preference and by nothing else, so that every kind of preference is heard."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sec_rl.agents.learners.reward_scale import fit_reward_scale
from sec_rl.envs.observation import N_TARGET_KINDS, OBSERVATION_NAMES, preference_weights, target_kinds
from tests.test_policy import observations

PLACE = {name: index for index, name in enumerate(OBSERVATION_NAMES)}


def wishes(n: int) -> NDArray[np.float32]:
    """Return observations with all combinations of targets and weights of a quarter to four times the default."""
    generator = np.random.default_rng(0)
    seen = observations(n)
    for name in (name for name in OBSERVATION_NAMES if name.startswith("has_")):
        seen[:, PLACE[name]] = generator.integers(0, 2, n)
    for name in (name for name in OBSERVATION_NAMES if name.endswith("_weight")):
        factor = np.exp(generator.uniform(-np.log(4.0), np.log(4.0), n))
        seen[:, PLACE[name]] = factor / (1.0 + factor)
    return seen


def test_sizes_of_returns_come_closer() -> None:
    """Missed targets cost thirty times what weights trade, and twice the accuracy weight earns twice as much."""
    seen = wishes(4000)
    kinds, weights = target_kinds(seen), preference_weights(seen)
    returns = np.where(kinds > 0, 3.0, 0.1) * weights[:, 0] * np.random.default_rng(1).normal(size=len(seen))
    scaled = np.abs(returns * fit_reward_scale(seen, returns)(seen))
    sizes = [np.median(scaled[kinds == kind]) for kind in range(N_TARGET_KINDS)]
    assert max(sizes) / min(sizes) == pytest.approx(np.sqrt(30.0), rel=0.25)
    heavy = weights[:, 0] > 1.0
    by_weight = np.median(scaled[heavy]) / np.median(scaled[~heavy])
    assert by_weight == pytest.approx(np.sqrt(4.0), rel=0.25)


def test_it_depends_on_nothing_but_the_preference() -> None:
    """Else it would change what the best policy is."""
    seen = wishes(64)
    scale = fit_reward_scale(seen, np.random.default_rng(2).normal(size=len(seen)))
    other = seen.copy()
    run = [PLACE[name] for name in OBSERVATION_NAMES if not name.startswith("has_") and not name.endswith("_weight")]
    other[:, run] = np.random.default_rng(3).uniform(-1.0, 1.0, (len(seen), len(run)))
    np.testing.assert_array_equal(scale(seen), scale(other))
    assert (scale(seen) > 0.0).all()


def test_returns_of_zero_leave_it_finite() -> None:
    seen = wishes(8)
    factors = fit_reward_scale(seen, np.zeros(8))(seen)
    assert np.isfinite(factors).all()
