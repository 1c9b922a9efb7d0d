"""Many runs at once, as the learners see them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.controllers import Controller

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

# Opens lanes of runs: (number of lanes, seed) -> environment. The seed decides everything that is random in it: two
# environments of one seed meet the same tasks, preferences and noise, whatever drives them.
OpenLanes = Callable[[int, int], "VecEnv"]


class StatefulLanes(Protocol):
    """An environment whose state can be taken out and put back, bit for bit."""

    def step(self, actions: NDArray[np.float32]) -> Any:
        """Take a step in every lane, as `VecEnv` does."""

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, generators included: arrays and JSON-ready values, nested in mappings."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class LaneController(Protocol):
    """Drives many runs at once: schedules, policies, searches."""

    def begin(self, n_lanes: int, seed: int) -> None:
        """Forget the last runs; `seed` decides everything random in the next ones."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions, (lanes, 2) in [-1, 1], for observations (lanes, 24)."""


class OneByOne:
    """What a controller of lanes needs to drive a single run, too."""

    def begin(self, n_lanes: int, seed: int) -> None:
        """Do nothing: most controllers remember nothing and draw nothing."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions, see `LaneController`."""
        raise NotImplementedError

    def reset(self, seed: int) -> None:
        """Begin a single run."""
        self.begin(1, seed)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the action of a single run, (2,) in [-1, 1]."""
        action: NDArray[np.float32] = self.act(np.asarray(observation, np.float32)[None])[0]
        return action


class EachLane:
    """A copy of a controller of one run in every lane, each with a seed of its own.

    Args:
        controller: what is copied.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def begin(self, n_lanes: int, seed: int) -> None:
        """Copy and reset the controller for every lane."""
        self._lanes = [copy.deepcopy(self._controller) for _ in range(n_lanes)]
        for lane, one in enumerate(self._lanes):
            one.reset(seed + lane)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what each copy answers, (lanes, 2)."""
        return np.stack([one(row) for one, row in zip(self._lanes, observations, strict=True)])
