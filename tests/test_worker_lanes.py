"""Lanes on workers: the learner sees the same trajectory whatever is killed or stopped below it."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.faults.children import is_running
from benchmarks.faults.lanes import Watched, make_env, play
from sec_rl.agents.lane_keeper import LaneKeeper, Order
from sec_rl.agents.worker_lanes import WorkerLanes
from sec_rl.errors import InputError
from sec_rl.workers import WorkerLostError
from sec_rl.workers.processes import ProcessHosts
from tests.made_up_work import broken_env, deadly_env


def test_kills_and_stops_change_nothing_and_leave_nobody() -> None:
    lanes, steps = 2, 24
    quiet = Watched()
    sound = play(quiet, 1, {}, lanes=lanes, steps=steps)
    assert sound.ends >= 2 * lanes - 2
    assert sound.complete
    assert len(quiet.pids) == 1
    faults = {2: signal.SIGKILL, 9: signal.SIGSTOP, 10: signal.SIGKILL, steps - 1: signal.SIGKILL}
    rough = Watched()
    found = play(rough, 2, faults, lanes=lanes, steps=steps, timeout_seconds=2.0)
    assert np.array_equal(sound.observations, found.observations)
    assert np.array_equal(sound.rewards, found.rewards)
    assert found.complete
    assert len(rough.pids) == 2 + len(faults)
    assert found.slowest_seconds < 60.0
    assert not any(is_running(pid) for pid in (*quiet.pids, *rough.pids))


def test_lanes_differ_and_the_seed_decides() -> None:
    def first(seed: int) -> NDArray[np.float32]:
        lanes = WorkerLanes(ProcessHosts(1), make_env, 2, seed, workers=2, timeout_seconds=60.0)
        try:
            return lanes.reset()
        finally:
            lanes.close()

    one, same, other = first(1), first(1), first(2)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])


def test_a_new_keeper_answers_as_the_old_one_would_have() -> None:
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 2)).astype(np.float32)
    old, new = LaneKeeper(make_env, [0]), LaneKeeper(make_env, [0])
    orders = [Order(0, 11, tuple(actions[:n]), actions[n], 12) for n in range(5)]
    expected = [old.follow([order])[0] for order in orders][-1]
    found = new.follow([orders[-1]])[0]
    assert np.array_equal(expected.observation, found.observation)
    assert expected.reward == found.reward


def test_what_an_environment_raises_arrives() -> None:
    with ProcessHosts(1) as hosts, pytest.raises(InputError, match="nothing to open"):
        WorkerLanes(hosts, broken_env, 1, 0, workers=1, timeout_seconds=60.0)  # type: ignore[arg-type]


def test_lanes_that_always_kill_their_worker_are_given_up() -> None:
    hosts = Watched()
    with hosts, pytest.raises(WorkerLostError, match=r"3 workers were lost over one step: .*signal 9"):
        WorkerLanes(hosts, deadly_env, 1, 0, workers=1, timeout_seconds=60.0)  # type: ignore[arg-type]
    assert len(hosts.pids) == 3
