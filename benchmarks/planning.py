"""Greedy control with the fitted simulator as a model: no policy, a look ahead before every segment.

The model is the simulator that the policy learned in, without the task's family, told what the task is like: its
descriptors, which one dense training of the task measures. So it costs that training, too. It follows the run: ratios
and costs are known, accuracy and loss are put to what validation shows after every segment. All members of its
ensemble look ahead, and their mean decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.side_by_side import Worlds
from benchmarks.worlds import Outcomes
from sec_rl.agents.baselines import Greedy
from sec_rl.backends.simulator.model import Simulator
from sec_rl.backends.simulator.tasks import accuracy_skill, loss_skill
from sec_rl.envs.observation import OBSERVATION_NAMES

_PROGRESS, _DATA, _COMPRESSION, _ACCURACY, _LOSS = (
    OBSERVATION_NAMES.index(name)
    for name in ("progress", "data_ratio", "compression_ratio", "accuracy_over_chance", "loss")
)
Floats = NDArray[np.float32]


class Planner:
    """See `LaneController`; lanes are the preferences of worlds.

    Args:
        worlds: the tasks, for their descriptors and preferences only.
        model: simulator that looks ahead.
        horizon: segments it looks ahead; after the first one ratios stay.
    """

    def __init__(self, worlds: Worlds, model: Simulator, horizon: int) -> None:
        self._worlds, self._horizon = worlds, horizon
        # The family's own sensitivity is unknown; the law as it was fitted stands for it.
        self._model = replace(model, noise=replace(model.noise, sensitivity=0.0))
        self._copies = model.ensemble.n_members

    def begin(self, n_lanes: int, seed: int) -> None:
        """Open the model's own runs of the task."""
        self._env = self._worlds.lanes(0, self._copies, simulator=self._model)
        self._env.reset()
        state = self._env.state_dict()
        state["lanes"]["_members"] = np.tile(np.arange(self._copies), n_lanes)
        self._env.load_state_dict(state)
        self._last: Floats | None = None

    def act(self, observations: Floats) -> Floats:
        """Return the best of a grid of actions for every lane, (lanes, 2)."""
        if self._last is not None:
            self._env.step(np.repeat(self._last, self._copies, axis=0))
        self._put(observations)
        left = round((1.0 - float(observations[0, _PROGRESS])) * self._worlds.n_segments)
        horizon = min(self._horizon, left)
        self._last = Greedy(lambda actions: self._gains(actions, horizon)).act(observations)
        return self._last

    def _put(self, observations: Floats) -> None:
        """Put accuracy and loss of the model's runs to what the real ones show."""
        state = self._env.state_dict()
        each = np.repeat(np.arange(len(self._worlds)), len(self._worlds.preferences))
        tasks = self._worlds.tasks.take(each)
        lanes = state["lanes"]
        chance = 1.0 / tasks.n_classes
        accuracy = chance + observations[:, _ACCURACY] * (1.0 - chance)
        bounded = np.minimum(observations[:, _LOSS].astype(np.float64), 1.0 - 1e-6)
        loss = np.log(tasks.n_classes) * bounded / (1.0 - bounded)
        skills = np.stack([accuracy_skill(accuracy, tasks), loss_skill(loss, tasks)], axis=1)
        lanes["_state"] = np.repeat(skills, self._copies, axis=0)
        lanes["accuracy"], lanes["loss"] = (np.repeat(each, self._copies) for each in (accuracy, loss))
        if self._last is not None:
            # They differ from what the model expected only where the run was rolled back.
            ratios = np.repeat(observations[:, [_DATA, _COMPRESSION]].astype(np.float64), self._copies, axis=0)
            state["own"]["_ratios"] = ratios
            lanes["data"], lanes["compression"] = ratios.T.copy()
        self._env.load_state_dict(state)

    def _gains(self, actions: Floats, horizon: int) -> NDArray[np.float64]:
        """Return the utility that each lane gains over the horizon, the mean over members, (lanes,)."""
        state: dict[str, Any] = self._env.state_dict()
        total = np.zeros(self._env.num_envs)
        following = np.repeat(actions, self._copies, axis=0)
        for _ in range(horizon):
            _, rewards, _, _ = self._env.step(following)
            total += rewards
            following = np.zeros_like(following)
        self._env.load_state_dict(state)
        mean: NDArray[np.float64] = total.reshape(-1, self._copies).mean(axis=1)
        return mean


def train_greedily(worlds: Worlds, model: Simulator, horizon: int) -> Outcomes:
    """Return what one training under the planner ends with, (worlds, preferences, 1, 6)."""
    return worlds.train(Planner(worlds, model, horizon))[:, :, None]
