"""Schedules, as functions of progress and as controllers that only see observations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sec_rl.agents.controllers import Controller, ScheduleController
from sec_rl.agents.schedules import BUYING_END, FIRST_PURCHASE, SCHEDULES, Schedule
from sec_rl.config import RunConfig
from sec_rl.envs.action import Limits, apply_action
from sec_rl.envs.observation import encode
from sec_rl.errors import InputError
from sec_rl.values import Metrics, Preference, Ratios

START = Metrics("simulated", 0, 16, 2, 0.0, 0.0, 0.5, 0.5, 0.7, 0, 0.0, 0, 0.0, 0.25, 1.0, 0.0)
names = st.sampled_from(sorted(SCHEDULES))


def planned(schedule: Schedule) -> list[Ratios]:
    """Return the ratios of all segments."""
    return [schedule(segment / schedule.n_segments) for segment in range(schedule.n_segments)]


@given(names, st.floats(0.01, 1.0), st.floats(0.0, 0.95), st.integers(1, 60), st.integers(0, 99))
def test_ratios_stay_below_the_final_ones(name: str, d: float, c: float, n: int, seed: int) -> None:
    for ratios in planned(Schedule(name, d, c, seed, n)):
        assert 0.0 < ratios.data <= d
        assert 0.0 <= ratios.compression <= c


@given(st.floats(0.0, 0.95), st.integers(4, 60))
def test_cubic_rises_from_nothing_to_its_ratio(c: float, n: int) -> None:
    schedule = Schedule("cubic", 1.0, c, n_segments=n)
    path = [ratios.compression for ratios in planned(schedule)]
    assert path == sorted(path)
    assert path[0] == 0.0
    assert path[-1] == pytest.approx(c)
    # Zhu & Gupta 2017, eq. 1, at the middle of the span: 1 - 0.5^3.
    assert schedule(0.5 - 1 / n).compression == pytest.approx(0.875 * c)


def test_span_of_the_cubic_schedule_can_be_chosen() -> None:
    schedule = Schedule("cubic", 1.0, 0.8, n_segments=10, pruning_start=0.0, pruning_end=0.5)
    assert schedule(0.4).compression == pytest.approx(0.8)
    assert schedule(0.0).compression == pytest.approx(0.8 * (1 - 0.8**3))


def test_fixed_starts_where_it_ends_and_dense_stays_dense() -> None:
    assert {ratios.compression for ratios in planned(Schedule("fixed", 1.0, 0.5))} == {0.5}
    assert {ratios.compression for ratios in planned(Schedule("dense", 1.0, 0.5))} == {0.0}


@pytest.mark.parametrize("name", ["dense", "fixed", "cubic"])
def test_labels_are_bought_while_the_model_learns(name: str) -> None:
    schedule = Schedule(name, 0.3, 0.5, n_segments=30)
    path = [ratios.data for ratios in planned(schedule)]
    assert path[0] == pytest.approx(0.3 * FIRST_PURCHASE)
    rises = np.diff(path[: round(30 * BUYING_END) + 1])
    assert rises == pytest.approx(rises[0])
    assert rises[0] > 0
    assert schedule(BUYING_END).data == path[-1] == pytest.approx(0.3)
    assert {ratios.data for ratios in planned(replace(schedule, first_purchase=1.0))} == {0.3}
    assert {ratios.data for ratios in planned(replace(schedule, data_ratio=1.0))} == {1.0}


def test_random_walk_follows_its_seed() -> None:
    def walk(seed: int) -> list[Ratios]:
        return planned(Schedule("random", 1.0, 0.9, seed))

    assert walk(1) == walk(1)
    assert walk(1) != walk(2)
    compressions = np.array([[ratios.compression for ratios in walk(seed)] for seed in range(50)])
    assert (np.diff(compressions) < 0).any()
    assert compressions[:, -1].std() > 0.1


def driven(controller: Controller, initial: Ratios, n_segments: int) -> list[Ratios]:
    """Let a controller drive a run that realises every ratio exactly."""
    metrics, now, path = replace(START, n_segments=n_segments), initial, []
    for segment in range(n_segments):
        action = controller(encode([metrics], Preference()))
        assert action.shape == (2,)
        assert (np.abs(action) <= 1.0).all()
        now = apply_action(now, action, Limits(data_min=0.005))
        path.append(now)
        metrics = replace(metrics, segment=segment + 1, data_ratio=now.data, compression_ratio=now.compression)
    return path


@given(names, st.floats(0.05, 1.0), st.floats(0.0, 0.6), st.integers(8, 40), st.integers(0, 99))
def test_controller_follows_the_schedule(name: str, d: float, c: float, n: int, seed: int) -> None:
    schedule = Schedule(name, d, c, seed, n)
    # The controller learns the number of segments from what it sees.
    controller = ScheduleController(replace(schedule, n_segments=3))
    controller.reset(seed)
    path = driven(controller, replace(controller, schedule=schedule).initial_ratios(), n)
    wanted = planned(schedule)
    step = np.abs(np.diff([ratios.compression for ratios in wanted])).max(initial=0.0)
    # With few segments and much to remove, the cubic schedule asks for more than an action can do, see below.
    assert step <= 0.25 or (name == "cubic" and (n < 16 or c > 0.5))
    assume(step <= 0.25)
    for found, ratios in zip(path, wanted, strict=True):
        assert found.data == pytest.approx(ratios.data, abs=1e-5)
        assert found.compression == pytest.approx(ratios.compression, abs=1e-5)


def test_controller_catches_up_with_a_jump() -> None:
    schedule = Schedule("cubic", 1.0, 0.9, n_segments=8, pruning_start=0.4, pruning_end=0.5)
    path = driven(ScheduleController(schedule), Ratios(1.0, 0.0), 8)
    compressions = [ratios.compression for ratios in path]
    assert np.diff([0.0, *compressions]).max() <= 0.25 + 1e-6
    assert compressions[-1] == pytest.approx(0.9, abs=1e-5)


def test_reset_draws_another_walk() -> None:
    controller = ScheduleController(Schedule("random", 1.0, 0.9))
    paths = []
    for seed in (1, 2, 1):
        controller.reset(seed)
        paths.append(driven(controller, controller.initial_ratios(), 16))
    assert paths[0] == paths[2] != paths[1]


def test_every_schedule_can_be_asked_for() -> None:
    for name in SCHEDULES:
        assert RunConfig(task="t", schedule=name).schedule == name  # type: ignore[arg-type]


def test_bad_schedules_are_named() -> None:
    with pytest.raises(InputError, match="Did you mean 'cubic'"):
        Schedule("cubik", 1.0, 0.5)
    with pytest.raises(InputError, match=r"0\.7.*0\.3"):
        Schedule("cubic", 1.0, 0.5, pruning_start=0.7, pruning_end=0.3)
