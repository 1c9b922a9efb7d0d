"""Lanes on workers: the learner sees the same trajectory whatever is killed or stopped below it."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from sec_rl.agents.gym_entry import make_synergy
from sec_rl.agents.lane_keeper import LaneKeeper, Order
from sec_rl.agents.preferences import draw_weights
from sec_rl.agents.worker_lanes import WorkerLanes
from sec_rl.errors import InputError
from sec_rl.workers import WorkerLostError
from sec_rl.workers.processes import ProcessHost, ProcessHosts
from tests.made_up_work import broken_env, deadly_env
from tests.processes import is_running

make_env = partial(make_synergy, preference=draw_weights)
LANES, STEPS = 2, 24


class Watched(ProcessHosts):
    """Hosts that remember every process."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.pids: list[int] = []

    def open(self, make: object) -> ProcessHost:
        host = super().open(make)  # type: ignore[arg-type]
        assert host.pid is not None
        self.pids.append(host.pid)
        return host


def played(
    hosts: Watched, workers: int, faults: dict[int, signal.Signals], timeout_seconds: float = 30.0
) -> tuple[NDArray[np.float32], NDArray[np.float32], int, float]:
    """Play, sending the newest process a signal before some steps; return what was seen, and the slowest step."""
    actions = np.random.default_rng(7).uniform(-1.0, 1.0, (STEPS, LANES, 2)).astype(np.float32)
    lanes = WorkerLanes(hosts, make_env, LANES, 5, workers=workers, timeout_seconds=timeout_seconds)
    try:
        observations, rewards, ends, slowest = [lanes.reset()], [], 0, 0.0
        for step in range(STEPS):
            if step in faults:
                os.kill(hosts.pids[-1], faults[step])
            started = time.monotonic()
            observation, reward, done, infos = lanes.step(actions[step])
            slowest = max(slowest, time.monotonic() - started)
            observations.append(np.asarray(observation))
            rewards.append(reward)
            ends += int(done.sum())
            assert all(("terminal_observation" in info) == end for info, end in zip(infos, done, strict=True))
    finally:
        lanes.close()
    return np.stack(observations), np.stack(rewards), ends, slowest


def test_kills_and_stops_change_nothing_and_leave_nobody() -> None:
    quiet = Watched()
    seen, earned, ends, _ = played(quiet, 1, {})
    assert ends >= 2 * LANES - 2
    assert len(quiet.pids) == 1
    faults = {2: signal.SIGKILL, 9: signal.SIGSTOP, 10: signal.SIGKILL, STEPS - 1: signal.SIGKILL}
    rough = Watched()
    seen_again, earned_again, _, slowest = played(rough, 2, faults, timeout_seconds=2.0)
    assert np.array_equal(seen, seen_again)
    assert np.array_equal(earned, earned_again)
    assert len(rough.pids) == 2 + len(faults)
    assert slowest < 60.0
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
