"""Controllers without learning, for many lanes at once and behind the same interface as a policy.

`dense`, `fixed`, `cubic` and `random` are those of `sec_rl.agents.schedules`. Added here are the cubic schedule that
reads the targets, and the greedy search that looks one segment ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.controllers import RandomWalk, ScheduleController
from sec_rl.agents.lanes import EachLane, LaneController, OneByOne, StatefulLanes
from sec_rl.agents.schedules import PRUNING_END, PRUNING_START, Schedule, paced_ratio
from sec_rl.envs.action import ACTION_SCALE, Limits
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.envs.readings import HALVINGS
from sec_rl.values import Ratios

# How much of size and latency the compression ratio reaches, until the run shows it; the rest is never pruned:
# embeddings, pooling, classifier.
_PRUNABLE_LATENCY, _PRUNABLE_SIZE = 0.9, 0.6
# Below this ratio the share cannot be read off.
_SEEN = 0.05
# Candidates of the greedy search per entry of the action.
_GRID = 5

# (lanes, 2) actions -> (lanes,) utility that each lane's next segment would gain.
LookAhead = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass
class TargetSchedule(OneByOne):
    """The cubic schedule that aims at what the targets need.

    Labels are bought and cost is removed as by `sec_rl.agents.schedules`; where the preference has targets for speed
    or size, the ratio aimed at is the one that meets them, as estimated from what was removed so far.

    Attributes:
        data_ratio: share of the pool in use at the end, in (0, 1].
        compression_ratio: share of the prunable cost removed at the end, where nothing is aimed at; in [0, 1).
        pruning_start: progress at which the ratio leaves 0, in [0, 1).
        pruning_end: progress at which it arrives, in (pruning_start, 1].
        follows_targets: aim at the targets; else always at `compression_ratio`.
    """

    data_ratio: float = 1.0
    compression_ratio: float = 0.5
    pruning_start: float = PRUNING_START
    pruning_end: float = PRUNING_END
    follows_targets: bool = True

    def __post_init__(self) -> None:
        # One set of checks for every schedule.
        Schedule(
            "cubic",
            Ratios(self.data_ratio, self.compression_ratio).data,
            self.compression_ratio,
            pruning_start=self.pruning_start,
            pruning_end=self.pruning_end,
        )

    def initial_ratios(self) -> Ratios:
        """Return the ratios that the first action starts from."""
        return INITIAL

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions towards the schedule's next ratios, (lanes, 2)."""
        return follow(observations, settings_of([self]))


def settings_of(schedules: Sequence[TargetSchedule]) -> NDArray[np.float64]:
    """Return what `follow` takes, (schedules, 5)."""
    return np.array([[float(getattr(each, field.name)) for field in fields(TargetSchedule)] for each in schedules])


def follow(observations: NDArray[np.float32], settings: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the actions towards each lane's schedule's next ratios, (lanes, 2).

    Args:
        observations: (lanes, 24).
        settings: (lanes, 5), or (1, 5) for all lanes, in the order of `TargetSchedule`'s attributes.
    """
    data_ratio, compression_ratio, start, end, follows_targets = settings.T
    entry = dict(zip(OBSERVATION_NAMES, observations.astype(np.float64).T, strict=True))
    data = paced_ratio(data_ratio, entry["progress"])
    ahead = entry["progress"] + entry["segment_share"] - start
    t = np.clip(ahead / (end - start), 0.0, 1.0)
    compression = _aim(entry, compression_ratio, follows_targets > 0.5) * (1.0 - (1.0 - t) ** 3)
    # An opened run uses no data yet: its first action starts from elsewhere.
    now = np.where(entry["data_ratio"] > 0.0, entry["data_ratio"], INITIAL.data)
    change = np.stack([data - now, compression - entry["compression_ratio"]], axis=1)
    actions: NDArray[np.float32] = np.clip(change / np.array(ACTION_SCALE), -1.0, 1.0).astype(np.float32)
    return actions


def _aim(
    entry: Mapping[str, NDArray[np.float64]], base: NDArray[np.float64], follows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the compression ratio to end with, (lanes,); `base` where nothing is aimed at."""
    ratio = entry["compression_ratio"]
    latency, size = (np.exp2(HALVINGS * entry[name]) for name in ("log2_latency", "log2_size"))
    seen = np.where(ratio > _SEEN, (1.0 - latency) / np.maximum(ratio, _SEEN), _PRUNABLE_LATENCY)
    speed = (1.0 - np.exp2(-HALVINGS * entry["target_speedup"])) / np.clip(seen, 0.1, 1.0)
    whole = size / (1.0 - _PRUNABLE_SIZE * ratio)
    small = (1.0 - np.exp2(-HALVINGS * entry["target_size_ratio"]) / whole) / _PRUNABLE_SIZE
    wanted = np.maximum(
        np.where(entry["has_target_speedup"] > 0.5, speed, 0.0),
        np.where(entry["has_target_size_ratio"] > 0.5, small, 0.0),
    )
    targeted = (entry["has_target_speedup"] > 0.5) | (entry["has_target_size_ratio"] > 0.5)
    return np.where(targeted & follows, np.clip(wanted, 0.0, Limits().compression_max), base)


@dataclass
class Greedy(OneByOne):
    """Take the action whose next segment gains the most; it never gives up utility now for more later.

    Attributes:
        look_ahead: what each lane's next segment would gain; for lanes of an environment see `look_ahead_in`.
    """

    look_ahead: LookAhead

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the best of a grid of actions for every lane, (lanes, 2)."""
        steps = np.linspace(-1.0, 1.0, _GRID)
        candidates = [np.array([data, compression], np.float32) for data in steps for compression in steps]
        gains = [self.look_ahead(np.tile(each, (len(observations), 1))) for each in candidates]
        best: NDArray[np.float32] = np.stack(candidates)[np.argmax(np.stack(gains), axis=0)]
        return best


def look_ahead_in(env: StatefulLanes) -> LookAhead:
    """Return a look-ahead that tries every action in the environment itself and takes it back."""

    def gains(actions: NDArray[np.float32]) -> NDArray[np.float64]:
        state = env.state_dict()
        _, reward, _, _ = env.step(actions)
        env.load_state_dict(state)
        return np.asarray(reward, np.float64)

    return gains


def baseline(name: str, *, data_ratio: float = 1.0, compression_ratio: float = 0.5) -> LaneController:
    """Return a schedule by its name, or the random walk, or the cubic schedule that reads the targets.

    Raises:
        InputError: the name is unknown.
    """
    if name == "walk":
        return EachLane(RandomWalk())
    if name == "target":
        return TargetSchedule(data_ratio, compression_ratio)
    return EachLane(ScheduleController(Schedule(name, data_ratio, compression_ratio)))
