"""The seam behind which learning algorithms are swapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from sec_rl.agents.learners.cloning import Demonstrations
from sec_rl.agents.learners.paired import ScaledLanes
from sec_rl.agents.network import Network


@dataclass(frozen=True)
class Lesson:
    """What every learner starts from.

    Attributes:
        env: lanes to learn in; rewards as they come, or paired.
        start: the cloned policy.
        demonstrations: what it was cloned from, rewards likewise.
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
        """Return the lanes with rewards scaled by preference; they stop at a reward that is no number."""
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
