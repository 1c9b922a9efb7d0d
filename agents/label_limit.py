"""A controller that buys no more labels than it is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.controllers import Controller
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.values import Ratios

_COUNTED = [OBSERVATION_NAMES.index(name) for name in ("data_ratio", "label_fraction")]


@dataclass
class LabelLimit:
    """Keeps another controller within a share of the labels: that share is all it knows of.

    To the controller the labels that may be bought are the whole pool. So a policy paces its purchases as it learned
    to; cut off at the limit instead, it would find itself in runs that it has never seen, with few labels late.

    Attributes:
        controller: sees data ratio and labels bought as shares of the limit, and acts on them so.
        most: share of the pool's labels that may be bought, in (0, 1].
    """

    controller: Controller
    most: float

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
        action[0] *= self.most
        return action
