"""Cross-entropy search (Rubinstein 1999; Szita & Lorincz 2006) over the policy's weights, every lane one candidate.

Tasks and preferences differ far more between lanes than candidates do. So each generation is played twice from the
same state of the lanes, by the mean and by the candidates, and a candidate's score is what it gained over the mean in
the very same episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.evaluate import play
from sec_rl.agents.lanes import StatefulLanes
from sec_rl.agents.learners.paired import LearningDivergedError
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.network import NORMALISED_LIMIT, Network
from sec_rl.errors import InputError

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class CrossEntropySettings:
    """How it searches.

    Attributes:
        episodes: of each candidate in a generation; one lane each.
        elite: share of the candidates that the next generation is drawn from.
        spread: first standard deviation of a weight, relative to the root mean square of its layer.
        least_spread: what it never falls below, likewise.
        inertia: share of the old mean and spread that is kept.
    """

    episodes: int = 8
    elite: float = 0.25
    spread: float = 0.1
    least_spread: float = 0.05
    inertia: float = 0.3


class CrossEntropyLearner:
    """See `Learner`.

    Args:
        lesson: what it starts from; its lanes are a multiple of `episodes`, at least four times as many.
        settings: how it searches.

    Raises:
        InputError: they are not.
    """

    def __init__(self, lesson: Lesson, settings: CrossEntropySettings) -> None:
        if not hasattr(lesson.env, "state_dict"):
            raise InputError("Cross-entropy search needs lanes whose state can be put back, such as the simulator's.")
        self._env, self._lanes = lesson.env, cast(StatefulLanes, lesson.env)
        self._env.reset()
        self._start, self._logger = lesson.start, lesson.logger
        self._settings = settings
        self._candidates = self._env.num_envs // settings.episodes
        if self._candidates < 4 or self._env.num_envs % settings.episodes:
            raise InputError(
                f"Cross-entropy search needs lanes for at least four candidates, {settings.episodes} for each and no "
                f"others; there are {self._env.num_envs} lanes."
            )
        self._generator = np.random.default_rng(lesson.seed)
        self._mean = _flat(lesson.start)
        self._unit = _units(lesson.start)
        self._spread = np.full_like(self._mean, settings.spread)
        self._steps = 0

    @property
    def steps(self) -> int:
        """Environment steps taken so far."""
        return self._steps

    def learn(self, n_steps: int) -> None:
        """Search in whole generations, see `Learner`."""
        until = self._steps + n_steps
        while self._steps < until:
            self._generation()
        self.network()

    def network(self) -> Network:
        """Return the mean of the search, see `Learner`."""
        try:
            return _network(self._start, self._mean)
        except InputError as error:
            raise LearningDivergedError(f"The policy's weights are no numbers after {self.steps} steps.") from error

    def state_dict(self) -> dict[str, Any]:
        """Return mean, spread, generator and counter, see `Learner`."""
        return {
            "mean": self._mean.copy(),
            "spread": self._spread.copy(),
            "generator": self._generator.bit_generator.state,
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, see `Learner`."""
        self._mean, self._spread = state["mean"], state["spread"]
        self._generator.bit_generator.state = state["generator"]
        self._steps = state["steps"]

    def _generation(self) -> None:
        draws = self._generator.standard_normal((self._candidates // 2 + 1, self._mean.size), np.float32)
        # Mirrored pairs: what the draws have in common cancels.
        moves = np.concatenate([draws, -draws])[: self._candidates] * self._spread * self._unit
        candidates = self._mean + moves
        try:
            state = self._lanes.state_dict()
            before = play(self._env, _Population(self._start, self._mean[None]), 0)
            self._lanes.load_state_dict(state)
            played = play(self._env, _Population(self._start, candidates), 0)
        except InputError as error:
            raise LearningDivergedError(str(error)) from error
        self._steps += before.alive.size + played.alive.size
        gains = (played.returns - before.returns).reshape(self._candidates, -1).mean(axis=1)
        elite = candidates[np.argsort(gains)[::-1][: max(2, round(self._settings.elite * len(gains)))]]
        keep = np.float32(self._settings.inertia)
        self._mean = keep * self._mean + (1 - keep) * elite.mean(axis=0)
        spread = np.maximum(elite.std(axis=0) / self._unit, self._settings.least_spread)
        self._spread = keep * self._spread + (1 - keep) * spread
        self._logger.record("train/mean_return", float(before.returns.mean()))
        self._logger.record("train/elite_gain", float(np.sort(gains)[-len(elite) :].mean()))
        self._logger.record("train/spread", float(self._spread.mean()))
        self._logger.dump(self._steps)


class _Population:
    """Drives lanes by one candidate after the other, the same number of lanes each."""

    def __init__(self, like: Network, candidates: Vector) -> None:
        self._like, self._n = like, len(candidates)
        self._layers = [
            (weights.reshape(self._n, *weight.shape).transpose(0, 2, 1), biases[:, None, :])
            for weight, weights, biases in _split(like, candidates)
        ]

    def begin(self, n_lanes: int, seed: int) -> None:
        """Do nothing: candidates remember nothing."""

    def act(self, observations: Vector) -> Vector:
        """Return the actions, (lanes, 2)."""
        inputs = (observations - self._like.mean) / self._like.scale
        hidden = np.clip(inputs, -NORMALISED_LIMIT, NORMALISED_LIMIT).reshape(self._n, -1, inputs.shape[1])
        for weights, biases in self._layers[:-1]:
            hidden = np.tanh(hidden @ weights + biases)
        weights, biases = self._layers[-1]
        output = (hidden @ weights + biases).reshape(len(observations), -1)
        actions: Vector = np.tanh(output) if self._like.squash == "tanh" else np.clip(output, -1.0, 1.0)
        return actions


def _flat(network: Network) -> Vector:
    """Return all weights and biases as one vector."""
    return np.concatenate([part.ravel() for pair in _layers(network) for part in pair])


def _layers(network: Network) -> list[tuple[Vector, Vector]]:
    """Return weight and bias of every layer."""
    return list(zip(network.weights, network.biases, strict=True))


def _units(network: Network) -> Vector:
    """Return the root mean square of the layer that each entry of `_flat` belongs to."""
    parts = [
        np.full(weight.size + bias.size, np.sqrt(np.mean(np.square(weight))), np.float32)
        for weight, bias in _layers(network)
    ]
    return np.maximum(np.concatenate(parts), np.float32(1e-3))


def _split(like: Network, vectors: Vector) -> list[tuple[Vector, Vector, Vector]]:
    """Return per layer its weight in `like`, and the weights and biases, (rows, size) each, of many flat vectors."""
    layers, at = [], 0
    for weight, bias in _layers(like):
        middle, end = at + weight.size, at + weight.size + bias.size
        layers.append((weight, vectors[:, at:middle], vectors[:, middle:end]))
        at = end
    return layers


def _network(like: Network, vector: Vector) -> Network:
    """Return the network of a flat vector."""
    layers = _split(like, vector[None])
    weights = tuple(values[0].reshape(weight.shape).astype(np.float32) for weight, values, _ in layers)
    biases = tuple(values[0].astype(np.float32) for _, _, values in layers)
    return Network(like.mean, like.scale, weights, biases, like.squash)
