"""The seam behind which learning algorithms are swapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn, VecEnvWrapper

from sec_rl.agents.learners.cloning import Demonstrations
from sec_rl.agents.network import Network
from sec_rl.errors import SecRlError


class LearningDivergedError(SecRlError):
    """A reward, a loss or a weight became infinite or no number."""


@dataclass(frozen=True)
class Lesson:
    """What every learner starts from.

    Attributes:
        env: lanes to learn in; rewards as they come.
        start: the cloned policy.
        demonstrations: what it was cloned from.
        total_steps: environment steps of the whole training, by which rates decay.
        seed: of everything random in the learner.
        logger: where its figures go.
    """

    env: VecEnv
    start: Network
    demonstrations: Demonstrations
    total_steps: int
    seed: int
    logger: Logger

    def scaled_env(self) -> VecEnv:
        """Return the lanes with rewards that give returns of spread 1, and that stop at a reward that is none."""
        return ScaledLanes(self.env, self.demonstrations.reward_scale)


class Learner(Protocol):
    """An algorithm that improves a policy in lanes of runs."""

    @property
    def steps(self) -> int:
        """Environment steps taken so far."""

    def learn(self, n_steps: int) -> None:
        """Take at least `n_steps` more environment steps and learn from them.

        Raises:
            LearningDivergedError: something is no number any more.
        """

    def network(self) -> Network:
        """Return the policy as it stands, without exploration.

        Raises:
            LearningDivergedError: its weights are no numbers any more.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state but the environment's: arrays and JSON-ready values, nested in mappings.

        Raises:
            InputError: this algorithm cannot be continued.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, bit for bit."""


class ScaledLanes(VecEnvWrapper):
    """Lanes whose rewards are multiplied by a factor, and are numbers.

    Args:
        env: the lanes.
        factor: above 0.
    """

    def __init__(self, env: VecEnv, factor: float) -> None:
        super().__init__(env)
        self._factor = factor

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
        return observations, rewards * np.float32(self._factor), dones, infos
