"""Lanes of a toy run in the real layout, whose best return is known: what a learner must be able to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sec_rl.envs.action import Limits, apply_actions
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.observation import LOW_HIGH, OBSERVATION_NAMES

PLACE = {name: i for i, name in enumerate(OBSERVATION_NAMES)}


class ToyLanes(VecEnv):
    """The utility is minus the distance of both ratios from where two weights of the preference want them.

    The latency weight w wants a compression ratio of 0.8 w, the label weight v a data ratio of 0.2 + 0.8 v. All goals
    are within reach of the shortest episode, so the best final utility is 0, and `regret` is what a controller lacks.
    A schedule that does not read the weights stays about 0.2 away from each.

    Args:
        n_lanes: runs side by side.
        seed: of everything random.
        poison: step after which rewards are no number; None: never.
    """

    def __init__(self, n_lanes: int, seed: int, poison: int | None = None) -> None:
        low, high = np.array(list(LOW_HIGH.values()), np.float32).T
        super().__init__(n_lanes, spaces.Box(low, high), spaces.Box(-1.0, 1.0, (2,)))
        self._generator = np.random.default_rng(seed)
        self._poison, self._taken = poison, 0
        self._segment, self._n_segments = np.zeros(n_lanes, np.int64), np.zeros(n_lanes, np.int64)
        self._ratios, self._wishes = np.zeros((n_lanes, 2)), np.zeros((n_lanes, 2))

    def reset(self) -> NDArray[np.float32]:
        self._open(np.ones(self.num_envs, np.bool_))
        return self._observe()

    def step_async(self, actions: NDArray[np.float32]) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        before = self._utility()
        self._ratios = apply_actions(self._ratios, self._actions, Limits())
        self._segment = self._segment + 1
        rewards = (self._utility() - before).astype(np.float32)
        self._taken += 1
        if self._poison is not None and self._taken > self._poison:
            rewards[0] = np.nan
        done = self._segment >= self._n_segments
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        last = self._observe()
        for lane in np.flatnonzero(done):
            infos[lane] = {"terminal_observation": last[lane], "TimeLimit.truncated": False}
        self._open(done)
        return self._observe(), rewards, done, infos

    def state_dict(self) -> dict[str, Any]:
        return {
            "segment": self._segment.copy(),
            "n_segments": self._n_segments.copy(),
            "ratios": self._ratios.copy(),
            "wishes": self._wishes.copy(),
            "taken": self._taken,
            "generator": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._segment, self._n_segments = state["segment"].copy(), state["n_segments"].copy()
        self._ratios, self._wishes = state["ratios"].copy(), state["wishes"].copy()
        self._taken = state["taken"]
        self._generator.bit_generator.state = state["generator"]

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs

    def _open(self, lanes: NDArray[np.bool_]) -> None:
        """Start new runs; the same numbers are drawn whatever the actions were."""
        segments, wishes = self._generator.integers(5, 9, self.num_envs), self._generator.random((self.num_envs, 2))
        self._segment = np.where(lanes, 0, self._segment)
        self._n_segments = np.where(lanes, segments, self._n_segments)
        self._ratios = np.where(lanes[:, None], [INITIAL.data, INITIAL.compression], self._ratios)
        self._wishes = np.where(lanes[:, None], wishes, self._wishes)

    def _utility(self) -> NDArray[np.float64]:
        goals = np.stack([0.2 + 0.8 * self._wishes[:, 0], 0.8 * self._wishes[:, 1]], axis=1)
        utility: NDArray[np.float64] = -np.abs(self._ratios - goals).sum(axis=1)
        return utility

    def _observe(self) -> NDArray[np.float32]:
        found = np.zeros((self.num_envs, len(OBSERVATION_NAMES)), np.float32)
        found[:, PLACE["progress"]] = self._segment / self._n_segments
        found[:, PLACE["segment_share"]] = 1.0 / self._n_segments
        found[:, PLACE["data_ratio"]] = np.where(self._segment > 0, self._ratios[:, 0], 0.0)
        found[:, PLACE["compression_ratio"]] = self._ratios[:, 1]
        found[:, PLACE["label_weight"]], found[:, PLACE["latency_weight"]] = self._wishes.T
        return found


def best_returns(n_lanes: int, seed: int) -> NDArray[np.float64]:
    """Return what a perfect controller earns in the episodes of `ToyLanes(n_lanes, seed)`, (n_lanes,)."""
    env = ToyLanes(n_lanes, seed)
    env.reset()
    return -env._utility()
