"""The law of the simulator: numpy simulates what torch fits; without deviations it is the dense learning curve."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.agents.fit_dynamics import _fit, _Members
from sec_rl.agents.recorded_tasks import recorded_tasks
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.trace_batch import trace_batch
from sec_rl.agents.traces import read_traces
from sec_rl.backends.simulator.dynamics import COMMON, Ensemble
from sec_rl.backends.simulator.features import ASYMPTOTE, DEVIATIONS, EFFORT, FEATURE_NAMES
from sec_rl.backends.simulator.learning_curve import asymptote, effort, fit_curve


def drawn_members(seed: int, n: int = 3) -> _Members:
    """Return members with drawn coefficients."""
    members = _Members(n)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        for parameter in members.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return members


def test_numpy_simulates_what_torch_fits() -> None:
    members, generator = drawn_members(0), np.random.default_rng(0)
    inputs = generator.uniform(0.0, 1.0, (50, len(FEATURE_NAMES)))
    inputs[:, ASYMPTOTE] = generator.uniform(0.1, 0.9, (50, 2))
    inputs[:10, DEVIATIONS] = 0.0
    state = generator.uniform(-0.3, 0.9, (50, 2))
    both = (torch.tensor(each, dtype=torch.float32).expand(3, -1, -1) for each in (inputs, state))
    fitted = members(*both).detach().numpy()
    for member in range(3):
        simulated = members.ensemble().step(np.full(50, member), inputs, state)
        np.testing.assert_allclose(simulated, fitted[member], atol=1e-5)


def test_a_members_fit_does_not_depend_on_its_neighbours() -> None:
    """Twenty of the shortest episodes and twenty of the longest: each is fitted alike on either place."""
    table = read_traces(shipped_traces())
    batch = trace_batch(table, recorded_tasks(table)[0])
    by_length = np.argsort(batch.last, kind="stable")
    short, long = batch.take(by_length[:20]), batch.take(by_length[-20:])
    assert long.learned.sum() > 2 * short.learned.sum()
    fitted = []
    for bootstraps in ([short, long], [long, short]):
        members = _Members(2)
        _fit(members, bootstraps, epochs=20)
        fitted.append(members.ensemble())
    np.testing.assert_allclose(fitted[0].effect, fitted[1].effect[::-1], atol=1e-4)
    np.testing.assert_allclose(fitted[0].ease, fitted[1].ease[::-1], atol=1e-4)


def test_a_tasks_sensitivity_is_that_of_the_common_law() -> None:
    common = drawn_members(0, 1).ensemble()
    both = Ensemble.joined([common, replace(common, family=np.zeros(1))])
    generator = np.random.default_rng(0)
    inputs, state = generator.uniform(0.1, 0.9, (2, len(FEATURE_NAMES))), np.full((2, 2), 0.5)
    inputs[1] = inputs[0]
    plain = both.step(np.arange(2), inputs, state)
    np.testing.assert_array_equal(plain[0], plain[1])
    scaled = both.step(np.arange(2), inputs, state, np.full(2, 3.0))
    assert not np.allclose(scaled[0], plain[0], atol=1e-3)
    np.testing.assert_array_equal(scaled[1], plain[1])


@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 4))
def test_a_familys_own_law_is_drawn_for_its_own_tasks(seed: int, own: list[int], n_common: int) -> None:
    family = np.array([COMMON] * n_common + [float(number) for number in own])
    ensemble = drawn_members(0, 1).ensemble().take([0] * len(family))
    families = np.tile(np.arange(4.0), 1000)
    drawn = replace(ensemble, family=family).draw(families, np.random.default_rng(seed))
    answering = family[drawn]
    share = (answering == COMMON).mean()
    for number in range(4):
        others = answering[(families == number) & (answering != COMMON)]
        # Where nothing is known of a family, any may stand for it.
        assert (others == number).all() if number in own else set(others) == set(own)
    assert abs(share - n_common / len(family)) < 0.04
    # All members of a family take part.
    assert set(drawn) == set(range(len(family)))


@given(st.integers(0, 1000), st.floats(0.1, 0.95), st.floats(-0.3, 0.05), st.floats(0.3, 0.9), st.integers(4, 16))
def test_without_deviations_a_run_is_the_dense_one(
    seed: int, dense: float, start: float, share: float, n_segments: int
) -> None:
    mean = start + share * (dense - start)
    speed, power = fit_curve(dense, start, mean, n_segments)
    ensemble, done = drawn_members(seed, 1).ensemble(), effort(np.arange(n_segments + 1) / n_segments) ** power
    inputs, state, path = np.zeros((1, len(FEATURE_NAMES))), np.full((1, 2), start), []
    inputs[:, ASYMPTOTE] = asymptote(np.full(1, dense), np.full(1, start), np.full(1, speed))
    for before, after in itertools.pairwise(done):
        inputs[:, EFFORT] = speed * (after - before)
        state = ensemble.step(np.zeros(1, np.int64), inputs, state)
        path.append(float(state[0, 0]))
    assert path[-1] == pytest.approx(dense, abs=1e-6)
    assert path == sorted(path)
    # Between the slowest and the fastest curve there is, the mean is that of the run.
    if 1.0 < power < 6.0 or (power == 1.0 and speed < 60.0):
        assert np.mean(path) == pytest.approx(mean, abs=0.02)
