"""Proximal policy optimisation (Schulman et al. 2017) of stable-baselines3, in large rollouts of whole episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from torch import nn

from sec_rl.agents.learners.cloning import fit
from sec_rl.agents.learners.paired import LearningDivergedError
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.learners.state import (
    generator_state,
    load_generators,
    load_module,
    load_optimizer,
    module_state,
    optimizer_state,
)
from sec_rl.agents.learners.torch_network import Standardise, linear_layers, read_network, write_network
from sec_rl.agents.learners.whole_episodes import WholeEpisodes
from sec_rl.agents.network import HIDDEN, Network
from sec_rl.errors import InputError


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
        warm_up: optimizer steps that fit the value network to the demonstrations before the actor moves.
    """

    rate: float = 1e-3
    n_steps: int = 32
    n_minibatches: int = 16
    n_epochs: int = 4
    gae_lambda: float = 1.0
    clip: float = 0.2
    target_kl: float = 0.05
    log_std: float = -1.0
    entropy: float = 0.0
    warm_up: int = 1000


class PpoLearner:
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
            ent_coef=settings.entropy,
            target_kl=settings.target_kl,
            policy_kwargs={
                "net_arch": list(HIDDEN),
                "activation_fn": nn.Tanh,
                "log_std_init": settings.log_std,
                "features_extractor_class": Standardise,
                "features_extractor_kwargs": {"mean": lesson.start.mean, "scale": lesson.start.scale},
            },
            seed=lesson.seed,
            device="cpu",
        )
        # Its own schedule counts the steps of one call of learn(); the training has many.
        self._model.lr_schedule = lambda _: settings.rate * max(0.0, 1.0 - self.steps / lesson.total_steps)
        self._model.set_logger(lesson.logger)
        self._model._last_obs = np.asarray(env.reset())
        self._model._last_episode_starts = np.ones(env.num_envs, np.bool_)
        policy = self._model.policy
        self._mean, self._scale = lesson.start.mean, lesson.start.scale
        self._actor = linear_layers(policy.mlp_extractor.policy_net, policy.action_net)
        write_network(lesson.start, self._actor)
        shown = lesson.demonstrations
        critic = nn.Sequential(policy.features_extractor, policy.mlp_extractor.value_net, policy.value_net)
        fit(critic, shown.observations, shown.scaled_to_go()[:, None], seed=lesson.seed, steps=settings.warm_up)

    @property
    def steps(self) -> int:
        """Environment steps taken so far."""
        return int(self._model.num_timesteps)

    def learn(self, n_steps: int) -> None:
        """Take at least `n_steps` more environment steps, in whole rollouts, see `Learner`."""
        try:
            self._model.learn(n_steps, reset_num_timesteps=False, log_interval=1)
        except ValueError as error:
            # torch's distributions refuse parameters that are no numbers.
            raise LearningDivergedError(f"The policy became no number after {self.steps} steps.") from error
        self.network()

    def network(self) -> Network:
        """Return the actor's mean action, see `Learner`."""
        try:
            return read_network(self._mean, self._scale, self._actor, "clip")
        except InputError as error:
            raise LearningDivergedError(f"The policy's weights are no numbers after {self.steps} steps.") from error

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
