"""The noise of the validation sample stays with a run as far as recorded runs say; its size is the sample's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sec_rl.agents.fit_noise import fit_persistence
from sec_rl.agents.shipped import shipped_simulator
from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.features import FEATURE_NAMES
from sec_rl.backends.simulator.lanes import VALIDATION_ROWS, SimulatorLanes, draw_opening
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.backends.simulator.tasks import draw_tasks

LANES, SEGMENTS = 2000, 8


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return load_simulator(shipped_simulator())


def sample_noise(simulator: Simulator, persistence: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return what the sample adds to dense runs' accuracy, in its own standard deviations, (segments, lanes)."""
    noisy = replace(simulator, noise=replace(simulator.noise, persistence=persistence))
    generator = np.random.default_rng(0)
    tasks = draw_tasks(simulator.tasks, LANES, generator)
    opening = draw_opening(noisy, tasks, np.full(LANES, SEGMENTS), generator)
    lanes = SimulatorLanes(noisy, opening, SEGMENTS)
    seen = []
    for _ in range(SEGMENTS):
        lanes.advance(np.tile([1.0, 0.0], (LANES, 1)), np.zeros((LANES, 5)))
        true = lanes.true_accuracy
        spread = np.sqrt(true * (1.0 - true) / VALIDATION_ROWS)
        kept = (lanes.accuracy > 0.0) & (lanes.accuracy < 1.0) & (spread > 0.0)
        noise = np.full(LANES, np.nan)
        seen.append(np.divide(lanes.accuracy - true, spread, out=noise, where=kept))
    return np.array(seen)


@pytest.mark.parametrize("persistence", [0.0, 0.8, 1.0])
def test_noise_stays_as_far_as_it_says(simulator: Simulator, persistence: float) -> None:
    noise = sample_noise(simulator, persistence)
    assert np.nanstd(noise, axis=1) == pytest.approx(np.ones(SEGMENTS), abs=0.1)
    first, last = noise[0], noise[-1]
    both = ~np.isnan(first) & ~np.isnan(last)
    assert np.corrcoef(first[both], last[both])[0, 1] == pytest.approx(persistence, abs=0.07)


@pytest.mark.parametrize("persistence", [0.0, 0.5, 0.9])
def test_it_is_read_off_quiet_segments(simulator: Simulator, persistence: float) -> None:
    n, generator = 400, np.random.default_rng(1)
    tasks = simulator.tasks.take(np.zeros(n, np.int64))
    skill = 0.7
    accuracy = tasks.majority + skill * (1.0 - tasks.majority)
    spread = np.sqrt(accuracy * (1.0 - accuracy) / VALIDATION_ROWS) / (1.0 - tasks.majority)
    stays = np.sqrt(persistence) * generator.standard_normal((n, 1))
    fresh = np.sqrt(1.0 - persistence) * generator.standard_normal((n, SEGMENTS + 1))
    states = np.zeros((n, SEGMENTS + 1, 2))
    states[:, :, 0] = skill + spread[:, None] * (stays + fresh)
    ran = np.ones((n, SEGMENTS), np.bool_)
    names, families = tuple(map(str, range(n))), np.array(["a", "b"])[np.arange(n) % 2]
    inputs = np.zeros((n, SEGMENTS, len(FEATURE_NAMES)))
    traces = TraceBatch(names, families, families, tasks, inputs, states, ran, ran, states[:, -1, 0])
    assert fit_persistence(traces) == pytest.approx(persistence, abs=0.1)


def test_most_of_it_stays_in_recorded_runs(simulator: Simulator) -> None:
    assert 0.6 < simulator.noise.persistence < 0.95
