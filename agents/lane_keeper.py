"""A worker's side of lanes: environments that can be played to where another worker had them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Env = gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Order:
    """What a lane is to do, and all that a worker needs for it that has never seen the lane.

    Attributes:
        lane: its number.
        seed: of its episode.
        past: actions of the episode so far.
        action: the next one; None: begin the episode.
        next_seed: of the episode that begins when this one ends.
    """

    lane: int
    seed: int
    past: tuple[NDArray[np.float32], ...] = ()
    action: NDArray[np.float32] | None = None
    next_seed: int = 0


class Taken(NamedTuple):
    """What came of an order; reward and end mean nothing where an episode only begins."""

    observation: NDArray[np.float32]
    reward: float
    done: bool
    info: dict[str, Any]


class LaneKeeper:
    """What a worker holds: the environments of some lanes.

    Args:
        make_env: opens an environment.
        lanes: their numbers.
    """

    def __init__(self, make_env: Callable[[], Env], lanes: Sequence[int]) -> None:
        self._envs = {lane: make_env() for lane in lanes}
        # Per lane, the seed of its episode and how many steps were taken.
        self._at: dict[int, tuple[int, int]] = {}

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        """Return the spaces of observations and actions."""
        env = next(iter(self._envs.values()))
        return env.observation_space, env.action_space

    def follow(self, orders: Sequence[Order]) -> list[Taken]:
        """Do what each lane is to do, one after the other."""
        return [self._begin(order) if order.action is None else self._step(order, order.action) for order in orders]

    def _begin(self, order: Order) -> Taken:
        observation, info = self._reset(order.lane, order.seed)
        return Taken(observation, 0.0, False, info)

    def _step(self, order: Order, action: NDArray[np.float32]) -> Taken:
        env = self._envs[order.lane]
        if self._at.get(order.lane) != (order.seed, len(order.past)):
            # A lost worker had this lane: its episode is played again to where it was.
            self._reset(order.lane, order.seed)
            for taken in order.past:
                env.step(taken)
        observation, reward, terminated, truncated, info = env.step(action)
        self._at[order.lane] = (order.seed, len(order.past) + 1)
        done = terminated or truncated
        if done:
            info = info | {"terminal_observation": observation, "TimeLimit.truncated": truncated and not terminated}
            observation, _ = self._reset(order.lane, order.next_seed)
        return Taken(observation, float(reward), done, info)

    def _reset(self, lane: int, seed: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
        found = self._envs[lane].reset(seed=seed)
        self._at[lane] = (seed, 0)
        return found
