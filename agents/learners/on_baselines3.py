"""What the learners of stable-baselines3 share: the clone as a start, the rate, and the network that comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from sec_rl.agents.learners.paired import LearningDivergedError
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.learners.torch_network import Standardise, read_network, write_network
from sec_rl.agents.network import HIDDEN, Network, Squash
from sec_rl.errors import InputError


def policy_kwargs(start: Network) -> dict[str, Any]:
    """Return the arguments that give stable-baselines3's policies the layers and the normaliser of the clone."""
    return {
        "net_arch": list(HIDDEN),
        "activation_fn": nn.Tanh,
        "features_extractor_class": Standardise,
        "features_extractor_kwargs": {"mean": start.mean, "scale": start.scale},
    }


class OnBaselines3:
    """The part of a `Learner` that does not depend on the algorithm.

    Args:
        model: was made with `policy_kwargs`.
        lesson: what it starts from.
        rate: first learning rate; it falls linearly to 0 over the training.
        layers: of the actor, in order; they are set to the clone's.
        squash: of the clone's outputs.
    """

    def __init__(
        self, model: BaseAlgorithm, lesson: Lesson, rate: float, layers: list[nn.Linear], squash: Squash
    ) -> None:
        self._base, self._layers, self._squash = model, layers, squash
        self._mean, self._scale = lesson.start.mean, lesson.start.scale
        # The algorithms' own schedules count the steps of one call of learn(); the training has many.
        model.lr_schedule = lambda _: rate * max(0.0, 1.0 - self.steps / lesson.total_steps)
        model.set_logger(lesson.logger)
        write_network(lesson.start, layers)

    @property
    def steps(self) -> int:
        """Environment steps taken so far."""
        return int(self._base.num_timesteps)

    def network(self) -> Network:
        """Return the action without exploration, see `Learner`."""
        try:
            return read_network(self._mean, self._scale, self._layers, self._squash)
        except InputError as error:
            raise LearningDivergedError(f"The policy's weights are no numbers after {self.steps} steps.") from error

    @contextmanager
    def finite(self) -> Iterator[None]:
        """Learn inside; what becomes no number ends in `LearningDivergedError`."""
        try:
            yield
        except ValueError as error:
            # torch's distributions refuse parameters that are no numbers.
            raise LearningDivergedError(f"The policy became no number after {self.steps} steps.") from error
        self.network()


@dataclass(frozen=True)
class OffPolicySettings:
    """How a learner with a replay buffer learns.

    Attributes:
        rate: first learning rate; it falls linearly to 0 over the training.
        batch: transitions of a gradient step.
        gradient_steps: after each step of all lanes.
        buffer: transitions that are remembered.
        tau: by which share the target networks follow: after each of these steps in SAC, after each step of all lanes
            in DQN.
    """

    rate: float = 1e-3
    batch: int = 256
    gradient_steps: int = 8
    buffer: int = 200_000
    tau: float = 0.02

    def arguments(self, lesson: Lesson) -> dict[str, Any]:
        """Return what stable-baselines3's algorithms are made with, besides policy and lanes."""
        return {
            "learning_rate": self.rate,
            "buffer_size": self.buffer,
            "learning_starts": 0,
            "batch_size": self.batch,
            "tau": self.tau,
            "gamma": 1.0,
            "train_freq": 1,
            "gradient_steps": self.gradient_steps,
            "policy_kwargs": policy_kwargs(lesson.start),
            "seed": lesson.seed,
            "device": "cpu",
        }


class OffPolicy(OnBaselines3):
    """What the learners with a replay buffer share: they cannot be continued."""

    def state_dict(self) -> dict[str, Any]:
        """Refuse: hundreds of megabytes of remembered transitions belong to its state."""
        raise InputError("This training cannot be resumed: its replay buffer is not saved. Use PPO, or start anew.")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse, likewise."""
        self.state_dict()
