"""A controller that buys no more labels than it is told, and the later ones when the model can say which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.controllers import Controller
from sec_rl.agents.schedules import share_bought
from sec_rl.envs.action import ACTION_SCALE
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.observation import read


@dataclass
class LabelLimit:
    """Keeps another controller within a share of the labels.

    A policy buys what it wants at once, which is right where it may have everything: then there is nothing to choose.
    Under a limit there is, and before the first segment the choice is blind. So the limit grows with the run, as in
    `schedules.share_bought`; what the controller asks for below it is left alone.

    Attributes:
        controller: whose actions are kept within the limit.
        most: share of the pool's labels that may be bought, in (0, 1].
    """

    controller: Controller
    most: float

    def reset(self, seed: int) -> None:
        """Forget the last run."""
        self.controller.reset(seed)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the controller's action, its first entry lowered where it would pass what may be bought by now."""
        action = self.controller(observation)
        # An opened run uses no data yet: its first action starts from elsewhere.
        now = read(observation, "data_ratio") or INITIAL.data
        allowed = self.most * float(share_bought(read(observation, "progress")))
        kept = action.copy()
        kept[0] = np.clip(min(float(action[0]), (allowed - now) / ACTION_SCALE[0]), -1.0, 1.0)
        return kept
