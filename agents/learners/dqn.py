"""Deep Q-learning (Mnih et al. 2015) of stable-baselines3, over many lanes, on a grid of actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn, VecEnvWrapper

from sec_rl.agents.action_grid import GRID_SIZE, grid_actions
from sec_rl.agents.learners.on_baselines3 import OffPolicy, OffPolicySettings
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.learners.torch_network import linear_layers


@dataclass(frozen=True)
class DqnSettings(OffPolicySettings):
    """How it learns.

    Attributes:
        explore: share of actions drawn from the whole grid at first; it falls linearly to 0 over the training. Labels
            once bought stay bought, so more of it ruins what is learned from.
    """

    rate: float = 5e-4
    batch: int = 512
    explore: float = 0.1


class GridLanes(VecEnvWrapper):
    """Lanes that take places on the grid of actions.

    Args:
        env: the lanes.
    """

    def __init__(self, env: VecEnv) -> None:
        super().__init__(env, action_space=spaces.Discrete(GRID_SIZE))

    def reset(self) -> Any:
        """Reset the lanes."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Take note of the actions, (lanes,) below `GRID_SIZE`."""
        self.venv.step_async(grid_actions(actions))

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step."""
        return self.venv.step_wait()


class _ExploringEachLane(DQN):
    """Draws for every lane whether it explores; the original draws once for all of them."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[np.int64], Any]:
        """Return places on the grid, (lanes,), see `DQN`."""
        best, state = self.policy.predict(observation, state, episode_start, deterministic)
        if deterministic:
            return best, state
        explores = np.random.random(best.shape) < self.exploration_rate
        return np.where(explores, np.random.randint(0, GRID_SIZE, best.shape), best), state


class DqnLearner(OffPolicy):
    """See `Learner`.

    Args:
        lesson: what it starts from; its network values the actions of the grid.
        settings: how it learns.
    """

    def __init__(self, lesson: Lesson, settings: DqnSettings) -> None:
        env = GridLanes(lesson.scaled_env())
        self._model = _ExploringEachLane(
            "MlpPolicy", env, target_update_interval=env.num_envs, **settings.arguments(lesson)
        )
        layers = linear_layers(self._model.q_net.q_net)
        super().__init__(self._model, lesson, settings.rate, layers, "grid")
        self._model.q_net_target.load_state_dict(self._model.q_net.state_dict())
        # As with the rate: the original counts the steps of one call of learn().
        self._model.exploration_schedule = lambda _: (
            settings.explore * max(0.0, 1.0 - self.steps / lesson.total_steps)
        )

    def learn(self, n_steps: int) -> None:
        """Take at least `n_steps` more environment steps, see `Learner`."""
        with self.finite():
            self._model.learn(n_steps, reset_num_timesteps=False, log_interval=1000)
