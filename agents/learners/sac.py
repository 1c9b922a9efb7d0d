"""Soft actor-critic (Haarnoja et al. 2018) of stable-baselines3, over many lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from stable_baselines3 import SAC
from torch import nn

from sec_rl.agents.learners.on_baselines3 import OffPolicy, OffPolicySettings
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.learners.torch_network import linear_layers


@dataclass(frozen=True)
class SacSettings(OffPolicySettings):
    """How it learns.

    Attributes:
        entropy: first weight of the entropy, adapted from then on; in units of the scaled return.
        warm_up: environment steps in which the critics learn and the clone stays as it is.
    """

    entropy: float = 0.02
    warm_up: int = 20_000


class SacLearner(OffPolicy):
    """See `Learner`.

    Args:
        lesson: what it starts from; its network is squashed by tanh.
        settings: how it learns.
    """

    def __init__(self, lesson: Lesson, settings: SacSettings) -> None:
        env = lesson.scaled_env()
        self._model = SAC("MlpPolicy", env, ent_coef=f"auto_{settings.entropy}", **settings.arguments(lesson))
        self._actor = self._model.actor
        layers = linear_layers(self._actor.latent_pi, self._actor.mu)
        super().__init__(self._model, lesson, settings.rate, layers, "tanh")
        # A spread of exp(-1) before tanh: the clone is good already.
        spread = cast(nn.Linear, self._actor.log_std)
        nn.init.zeros_(spread.weight)
        nn.init.constant_(spread.bias, -1.0)
        self._warm_up = settings.warm_up

    def learn(self, n_steps: int) -> None:
        """Take at least `n_steps` more environment steps, see `Learner`."""
        warm_up = min(n_steps, self._warm_up - self.steps)
        with self.finite():
            if warm_up > 0:
                self._actor.requires_grad_(False)
                self._model.learn(warm_up, reset_num_timesteps=False, log_interval=1000)
                self._actor.requires_grad_(True)
            if n_steps > warm_up:
                self._model.learn(n_steps - max(warm_up, 0), reset_num_timesteps=False, log_interval=1000)
