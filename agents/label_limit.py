"""A controller that buys no more labels than it is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.controllers import Controller
from sec_rl.agents.schedules import paced_ratio
from sec_rl.envs.action import ACTION_SCALE
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.values import Ratios

_PROGRESS, _DATA, _LABELS = (OBSERVATION_NAMES.index(name) for name in ("progress", "data_ratio", "label_fraction"))
_COUNTED = [_DATA, _LABELS]


@dataclass
class LabelLimit:
    """Keeps another controller within a share of the labels: that share is all it knows of.

    To the controller the labels that may be bought are the whole pool. So a policy buys of them as it learned to; cut
    off at the limit instead, it would find itself in runs that it has never seen, with few labels late.

    With a first purchase of less than all, nobody buys faster than the schedules do: which labels are bought is then
    decided by a model that has learned something.

    Attributes:
        controller: sees data ratio and labels bought as shares of the limit, and acts on them so.
        most: share of the pool's labels that may be bought, in (0, 1].
        first_purchase: share of these that may be bought before training, in (0, 1]; from there on a line, see
            `sec_rl.agents.schedules.paced_ratio`.
    """

    controller: Controller
    most: float
    first_purchase: float = 1.0

    def initial_ratios(self) -> Ratios:
        """Return the ratios that the first action starts from."""
        return Ratios(self.most * INITIAL.data, INITIAL.compression)

    def reset(self, seed: int) -> None:
        """Forget the last run."""
        self.controller.reset(seed)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the controller's action, its first entry in shares of the pool again."""
        seen = observation.copy()
        seen[_COUNTED] = np.minimum(seen[_COUNTED] / self.most, 1.0)
        action = self.controller(seen).copy()
        progress = float(observation[_PROGRESS])
        now = float(observation[_DATA]) if progress > 0.0 else self.initial_ratios().data
        highest = float(paced_ratio(self.most, progress, self.first_purchase))
        action[0] = min(self.most * action[0], (highest - now) / ACTION_SCALE[0])
        return action
