"""What controllers are worth: whole episodes under common random numbers, and paired differences with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sec_rl.agents.lanes import LaneController, OpenLanes
from sec_rl.errors import InputError

_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Played:
    """One episode per lane. Steps are padded to the longest episode.

    Attributes:
        observations: (steps, lanes, 24) before each action.
        actions: (steps, lanes, 2) that the controller answered.
        rewards: (steps, lanes), 0 after an episode's end.
        alive: (steps, lanes), whether the episode was still on before the step.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float64]
    alive: NDArray[np.bool_]

    @property
    def returns(self) -> NDArray[np.float64]:
        """Return of each lane's episode, (lanes,)."""
        total: NDArray[np.float64] = self.rewards.sum(axis=0)
        return total

    def returns_to_go(self) -> NDArray[np.float64]:
        """Return what was still to come before each step, (steps, lanes)."""
        to_go: NDArray[np.float64] = np.cumsum(self.rewards[::-1], axis=0)[::-1]
        return to_go


@dataclass(frozen=True)
class Difference:
    """A mean paired difference and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def play(
    env: VecEnv,
    controller: LaneController,
    seed: int,
    *,
    noise: float = 0.0,
    generator: np.random.Generator | None = None,
) -> Played:
    """Play one episode in every lane, from a reset on.

    Args:
        env: lanes of runs; lanes that end early go on with episodes that do not count.
        controller: drives all of them; is begun first.
        seed: of everything random in the controller.
        noise: standard deviation of what is added to the actions that are really taken.
        generator: draws that noise.

    Raises:
        InputError: a reward is no number.
    """
    observations, actions, rewards, alive = [], [], [], []
    observation = np.asarray(env.reset(), np.float32)
    controller.begin(env.num_envs, seed)
    on = np.ones(env.num_envs, np.bool_)
    while on.any():
        action = controller.act(observation)
        observations.append(observation)
        actions.append(action)
        alive.append(on)
        taken = action
        if noise > 0.0 and generator is not None:
            taken = np.clip(action + generator.normal(0.0, noise, action.shape), -1.0, 1.0).astype(np.float32)
        following, reward, done, _ = env.step(taken)
        if not np.isfinite(reward).all():
            raise InputError("The environment gave a reward that is no number.")
        rewards.append(np.where(on, reward, 0.0))
        # Copied: an environment may go on writing into what it returned.
        observation, on = np.array(following, np.float32), on & ~done
    return Played(np.stack(observations), np.stack(actions), np.stack(rewards), np.stack(alive))


def play_episodes(open_lanes: OpenLanes, controller: LaneController, *, episodes: int, seed: int) -> Played:
    """Play episodes in lanes of their own; episode i is the same run for every controller.

    Args:
        open_lanes: opens the environment.
        controller: drives it.
        episodes: how many.
        seed: of environment and controller.
    """
    env = open_lanes(episodes, seed)
    try:
        return play(env, controller, seed)
    finally:
        env.close()


def evaluate(open_lanes: OpenLanes, controller: LaneController, *, episodes: int, seed: int) -> NDArray[np.float64]:
    """Return the returns of episodes, (episodes,), see `play_episodes`."""
    return play_episodes(open_lanes, controller, episodes=episodes, seed=seed).returns


def paired_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64], *, seed: int = 0) -> Difference:
    """Return the mean of `ours - theirs` with its percentile bootstrap interval.

    Args:
        ours: (episodes,) returns.
        theirs: (episodes,) of the same episodes.
        seed: of the resampling.

    Raises:
        InputError: the two are not of the same episodes.
    """
    if ours.shape != theirs.shape or ours.ndim != 1 or ours.size == 0:
        raise InputError(f"Returns of {ours.shape} and {theirs.shape} episodes cannot be paired.")
    gaps = ours - theirs
    picks = np.random.default_rng(seed).integers(0, gaps.size, (_RESAMPLES, gaps.size))
    tail = (1.0 - _CONFIDENCE) / 2.0
    low, high = np.quantile(gaps[picks].mean(axis=1), [tail, 1.0 - tail])
    return Difference(float(gaps.mean()), float(low), float(high))


class Judge:
    """Scores policies while they learn: always in the same episodes, against one and the same rival.

    Args:
        open_lanes: opens the environment.
        rival: what a policy is compared with, such as the best fixed schedule.
        episodes: how many.
        seed: of the episodes.
    """

    def __init__(self, open_lanes: OpenLanes, rival: LaneController, *, episodes: int, seed: int) -> None:
        self._open_lanes, self._episodes, self._seed = open_lanes, episodes, seed
        self._rival = self._returns(rival)

    def score(self, controller: LaneController) -> tuple[float, Difference]:
        """Return a controller's mean return, and what it has ahead of the rival."""
        returns = self._returns(controller)
        return float(returns.mean()), paired_difference(returns, self._rival)

    def _returns(self, controller: LaneController) -> NDArray[np.float64]:
        return evaluate(self._open_lanes, controller, episodes=self._episodes, seed=self._seed)
