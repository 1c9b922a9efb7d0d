"""Proximal policy optimisation (Schulman et al. 2017) of stable-baselines3, in large rollouts of whole episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from torch import nn

from sec_rl.agents.learners.cloning import fit
from sec_rl.agents.learners.on_baselines3 import OnBaselines3, policy_kwargs
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.learners.state import (
    generator_state,
    load_generators,
    load_module,
    load_optimizer,
    module_state,
    optimizer_state,
)
from sec_rl.agents.learners.torch_network import linear_layers
from sec_rl.agents.learners.whole_episodes import WholeEpisodes


@dataclass(frozen=True)
class PpoSettings:
    """How it learns.

    Attributes:
        rate: first learning rate; it falls linearly to 0 over the training.
        n_steps: steps of each lane between updates; two to four whole episodes.
        n_minibatches: of an update's pass over them; divides `n_steps`.
        n_epochs: passes over them.
        gae_lambda: of the advantage (Schulman et al. 2016); 1 is what an episode really earned. The discount is 1.
        clip: of the ratio of probabilities.
        target_kl: an update ends where the policy has moved 1.5 times this far.
        log_std: logarithm of the first standard deviation of the actions. Labels once bought stay bought, so wide
            exploration pays for what the policy without it would never spend.
        entropy: weight of the entropy in the loss.
        anchor: what leaving the demonstrated schedule costs, see `sec_rl.agents.learners.paired.PairedLanes`; in
            lanes that are paired.
        warm_up: optimizer steps that fit the value network to the demonstrations before the actor moves.
    """

    rate: float = 1e-3
    n_steps: int = 32
    n_minibatches: int = 16
    n_epochs: int = 4
    gae_lambda: float = 1.0
    clip: float = 0.2
    target_kl: float = 0.05
    log_std: float = -2.0
    entropy: float = 0.0
    anchor: float = 0.005
    warm_up: int = 1000


class PpoLearner(OnBaselines3):
    """See `Learner`.

    Args:
        lesson: what it starts from; the lanes may be those of the simulator, or real runs.
        settings: how it learns.
    """

    def __init__(self, lesson: Lesson, settings: PpoSettings) -> None:
        env = lesson.scaled_env()
        self._model = PPO(
            "MlpPolicy",
            env,
            learning_rate=settings.rate,
            n_steps=settings.n_steps,
            batch_size=settings.n_steps * env.num_envs // settings.n_minibatches,
            n_epochs=settings.n_epochs,
            gamma=1.0,
            gae_lambda=settings.gae_lambda,
            clip_range=settings.clip,
            rollout_buffer_class=WholeEpisodes,
            normalize_advantage=False,
            ent_coef=settings.entropy,
            target_kl=settings.target_kl,
            policy_kwargs={"log_std_init": settings.log_std, **policy_kwargs(lesson.start)},
            seed=lesson.seed,
            device="cpu",
        )
        self._model._last_obs = np.asarray(env.reset())
        self._model._last_episode_starts = np.ones(env.num_envs, np.bool_)
        policy = self._model.policy
        layers = linear_layers(policy.mlp_extractor.policy_net, policy.action_net)
        super().__init__(self._model, lesson, settings.rate, layers, "clip")
        shown = lesson.demonstrations
        critic = nn.Sequential(policy.features_extractor, policy.mlp_extractor.value_net, policy.value_net)
        fit(critic, shown.observations, shown.scaled_to_go()[:, None], seed=lesson.seed, steps=settings.warm_up)

    def learn(self, n_steps: int) -> None:
        """Take at least `n_steps` more environment steps, in whole rollouts, see `Learner`."""
        with self.finite():
            self._model.learn(n_steps, reset_num_timesteps=False, log_interval=1)

    def state_dict(self) -> dict[str, Any]:
        """Return weights, moments, counters, generators, and where the lanes stand, see `Learner`."""
        model = self._model
        return {
            "policy": module_state(model.policy),
            "optimizer": optimizer_state(model.policy.optimizer),
            "generators": generator_state(),
            "last_observation": model._last_obs,
            "last_starts": model._last_episode_starts,
            "steps": model.num_timesteps,
            "updates": model._n_updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, see `Learner`."""
        model = self._model
        load_module(model.policy, state["policy"])
        load_optimizer(model.policy.optimizer, state["optimizer"])
        model._last_obs, model._last_episode_starts = state["last_observation"], state["last_starts"]
        model.num_timesteps, model._n_updates = state["steps"], state["updates"]
        load_generators(state["generators"])
