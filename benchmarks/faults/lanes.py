"""Workers of `sec-rl train` that are killed and stopped while they play."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.children import is_running
from benchmarks.faults.row import Row
from sec_rl.agents.gym_entry import make_synergy
from sec_rl.agents.preferences import draw_weights
from sec_rl.agents.worker_lanes import WorkerLanes
from sec_rl.workers.processes import ProcessHost, ProcessHosts

make_env = partial(make_synergy, preference=draw_weights)
WORKERS = 4
# A worker that is stopped is noticed after this long; a new one has a few seconds to start.
TIMEOUT_SECONDS, START_SECONDS = 4.0, 30.0


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


@dataclass(frozen=True)
class Played:
    """What a learner saw.

    Attributes:
        observations, rewards: of all steps, (steps + 1, lanes, entries) and (steps, lanes).
        ends: episodes that ended.
        slowest_seconds: of a step.
        complete: every end came with its last observation, and nothing else did.
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.float32]
    ends: int
    slowest_seconds: float
    complete: bool


def play(
    hosts: Watched,
    workers: int,
    faults: Mapping[int, signal.Signals],
    *,
    lanes: int,
    steps: int,
    timeout_seconds: float = START_SECONDS,
) -> Played:
    """Play with actions that are always the same, sending the newest worker a signal before some steps."""
    actions = np.random.default_rng(7).uniform(-1.0, 1.0, (steps, lanes, 2)).astype(np.float32)
    env = WorkerLanes(hosts, make_env, lanes, 5, workers=workers, timeout_seconds=timeout_seconds)
    try:
        observations, rewards, ends, slowest, complete = [env.reset()], [], 0, 0.0, True
        for step in range(steps):
            if step in faults:
                os.kill(hosts.pids[-1], faults[step])
            started = time.monotonic()
            observation, reward, done, infos = env.step(actions[step])
            slowest = max(slowest, time.monotonic() - started)
            observations.append(np.asarray(observation))
            rewards.append(reward)
            ends += int(done.sum())
            complete &= all(("terminal_observation" in info) == end for info, end in zip(infos, done, strict=True))
    finally:
        env.close()
    return Played(np.stack(observations), np.stack(rewards), ends, slowest, complete)


def lose_workers(kills: int, stops: int, seed: int) -> list[Row]:
    """Kill and stop workers of lanes: the learner must see what it would have seen, in time, and nobody may be left.

    Args:
        kills: SIGKILLs.
        stops: SIGSTOPs, each of which costs the time-out.
        seed: of their order.

    Returns:
        a row for the kills, and one for the stops.
    """
    order = [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops
    random.Random(seed).shuffle(order)
    # A worker is lost before every second step, and has answered at least once by then.
    faults = {2 * number + 1: each for number, each in enumerate(order)}
    steps = 2 * len(order) + 1
    sound = play(Watched(), 1, {}, lanes=WORKERS, steps=steps)
    rough = Watched()
    found = play(rough, WORKERS, faults, lanes=WORKERS, steps=steps, timeout_seconds=TIMEOUT_SECONDS)
    same = np.array_equal(sound.observations, found.observations) and np.array_equal(sound.rewards, found.rewards)
    left = [pid for pid in rough.pids if is_running(pid)]
    late = found.slowest_seconds > TIMEOUT_SECONDS + START_SECONDS
    details = {"slowest_step_seconds": found.slowest_seconds}
    problems = [
        *(["The learner saw something else."] if not (same and found.complete) else []),
        *([f"{len(left)} workers were left behind."] if left else []),
        *([f"A step took {found.slowest_seconds:.0f} s."] if late else []),
    ]
    lost = WORKERS + len(order) - len(rough.pids)
    return [
        Row(f"SIGKILL of one of {WORKERS} workers", kills, max(lost, 0), len(problems), details, problems),
        Row(f"SIGSTOP of one of {WORKERS} workers", stops, max(lost, 0), len(problems), details),
    ]
