"""Rewards as the learners get them: scaled, and less what a reference earns in the very same episode.

Tasks, preferences and validation noise move a run's return far more than a better action does. A policy that learns
from the plain return spends most of its experience on telling tasks apart. So the lanes have a twin that meets the
same episodes, driven by what the policy was cloned from, and the reward is what is earned beyond it. The twin does
not depend on the policy's actions, so what is subtracted changes no gradient's mean, only its variance: a baseline
that depends on the inputs of an episode (Mao et al. 2019, "Variance reduction for reinforcement learning in
input-driven environments").

What a policy earns in simulation hardly depends on much of what it does, and a family of tasks that nobody recorded
may punish all the same what the recorded ones are indifferent to. So the lanes also charge for each action's distance
from what the reference would have done in its place: the policy leaves the reference only where that pays (a value
penalty, Wu, Tucker & Nachum 2019, "Behavior regularized offline reinforcement learning", sec. 3). Scores never count
the charge.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn, VecEnvWrapper

from sec_rl.agents.lanes import LaneController, StatefulLanes
from sec_rl.agents.learners.reward_scale import RewardScale
from sec_rl.errors import InputError, SecRlError


class LearningDivergedError(SecRlError):
    """A reward, a loss or a weight became infinite or no number."""


class ScaledLanes(VecEnvWrapper):
    """Lanes whose rewards are scaled by preference, and are numbers.

    Args:
        env: the lanes.
        scale: what rewards are multiplied with.
    """

    def __init__(self, env: VecEnv, scale: RewardScale) -> None:
        super().__init__(env)
        self._scale = scale

    def reset(self) -> Any:
        """Reset the lanes."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step.

        Raises:
            LearningDivergedError: a reward or an observation is no number.
        """
        observations, rewards, dones, infos = self.venv.step_wait()
        if not (np.isfinite(rewards).all() and np.isfinite(np.asarray(observations)).all()):
            raise LearningDivergedError("The environment gave a reward or an observation that is no number.")
        # Where an episode ended, the observation is of the next one, which has another preference.
        seen = np.array(observations, np.float32)
        for lane in np.flatnonzero(dones):
            seen[lane] = infos[lane]["terminal_observation"]
        return observations, rewards * self._scale(seen), dones, infos


class PairedLanes(VecEnvWrapper):
    """Lanes whose rewards count from what a reference earns in their twin.

    Args:
        env: the lanes.
        twin: of the same seed; it meets the same episodes, whatever the actions are.
        reference: drives the twin; remembers nothing.
        anchor: utility that a step costs per unit of the mean squared distance of its action from the reference's,
            at least 0; entries of the action that the reference lacks cost nothing.
    """

    def __init__(self, env: VecEnv, twin: VecEnv, reference: LaneController, *, anchor: float = 0.0) -> None:
        super().__init__(env)
        self._twin, self._reference, self._anchor = twin, reference, anchor
        self._seen: Any = None
        self._own: Any = None
        self._charge: Any = 0.0

    def seed(self, seed: int | None = None) -> Any:
        """Seed both."""
        self._twin.seed(seed)
        return self.venv.seed(seed)

    def reset(self) -> Any:
        """Reset both.

        Raises:
            InputError: they meet different episodes.
        """
        observations, self._seen = self.venv.reset(), self._twin.reset()
        if not np.array_equal(np.asarray(observations), np.asarray(self._seen)):
            raise InputError("The lanes and their twin start different episodes; open both with the same seed.")
        self._own = observations
        return observations

    def step_async(self, actions: Any) -> None:
        """Charge for the actions, and take them."""
        if self._anchor:
            usual = self._reference.act(np.asarray(self._own))
            taken = np.clip(np.asarray(actions, np.float32)[:, : usual.shape[1]], -1.0, 1.0)
            self._charge = self._anchor * ((taken - usual) ** 2).mean(axis=1)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step in both.

        Raises:
            InputError: an episode ends in one of them only.
        """
        observations, rewards, dones, infos = self.venv.step_wait()
        self._seen, rivals, ended, _ = self._twin.step(self._reference.act(np.asarray(self._seen)))
        if not np.array_equal(dones, ended):
            raise InputError("How long an episode is depends on the actions; such lanes cannot be paired.")
        self._own = observations
        return observations, rewards - rivals - self._charge, dones, infos

    def close(self) -> None:
        """Close both."""
        self._twin.close()
        self.venv.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both, see `StatefulLanes`."""
        return {
            "lanes": cast(StatefulLanes, self.venv).state_dict(),
            "twin": cast(StatefulLanes, self._twin).state_dict(),
            "seen": self._seen,
            "own": self._own,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, see `StatefulLanes`."""
        cast(StatefulLanes, self.venv).load_state_dict(state["lanes"])
        cast(StatefulLanes, self._twin).load_state_dict(state["twin"])
        self._seen, self._own = state["seen"], state["own"]
