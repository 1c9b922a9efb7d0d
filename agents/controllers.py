"""What drives a run: observation in, action out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.schedules import Schedule
from sec_rl.envs.action import ACTION_SCALE, action_towards
from sec_rl.envs.observation import read
from sec_rl.values import Ratios


class Controller(Protocol):
    """Anything that can drive a run: a schedule, a learned policy, a search."""

    def reset(self, seed: int) -> None:
        """Forget the last run; `seed` decides everything random in the next one."""

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the action of the next segment, (2,) in [-1, 1].

        Args:
            observation: in the layout of `sec_rl.envs.observation.OBSERVATION_NAMES`.
        """


@dataclass
class ScheduleController:
    """A schedule in the place of a policy.

    It reads progress, the number of segments and both ratios from the observation and steers towards what the
    schedule wants next. A segment changes the ratios by at most `ACTION_SCALE`; what one segment cannot reach, the
    next ones do, so a schedule that jumps (few segments, a high ratio) arrives later than it says. Ratios that it
    begins with are not reached by a step: `fixed` prunes before anything is trained.

    Attributes:
        schedule: target ratios as a function of progress.
    """

    schedule: Schedule

    def initial_ratios(self) -> Ratios:
        """Return the ratios that the first action starts from."""
        return self.schedule(0.0)

    def reset(self, seed: int) -> None:
        """Draw the walk of the random schedule anew; the others are the same for every seed."""
        self.schedule = replace(self.schedule, seed=seed)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the action towards the schedule's next ratios, (2,) in [-1, 1]."""
        n_segments = round(1.0 / read(observation, "segment_share"))
        # Rounding to whole segments undoes float32.
        segment = round(read(observation, "progress") * n_segments)
        schedule = replace(self.schedule, n_segments=n_segments)
        target = schedule(min(segment, n_segments - 1) / n_segments)
        data = read(observation, "data_ratio")
        now = Ratios(data, read(observation, "compression_ratio")) if data > 0.0 else schedule(0.0)
        return action_towards(now, target)


@dataclass
class RandomWalk:
    """Actions that wander: it explores what schedules never do, and turns back as often as it goes on.

    Each entry is a first-order autoregressive walk around a drift of its own that is drawn anew for every run, so
    that some runs compress early, some late, and some give back what they took. Each run also draws a compression
    ratio that it never passes: without one, a third of all walks end where nothing is left to learn from.

    Attributes:
        persistence: share of an action that carries over to the next, in [0, 1).
        spread: standard deviation of the fresh part.
        around: controller whose actions the walk is added to, in the place of the drift: it explores what lies beside
            sensible runs.
    """

    persistence: float = 0.6
    spread: float = 0.4
    around: Controller | None = None

    def reset(self, seed: int) -> None:
        """Draw the walk of the next run."""
        self._generator = np.random.default_rng(seed)
        self._drift = self._generator.uniform([-0.1, -0.2], [0.3, 0.5])
        self._ceiling = self._generator.uniform(0.3, 0.9)
        self._wander = np.zeros(2)
        if self.around is not None:
            self.around.reset(seed)

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next action of the walk, (2,) in [-1, 1]; itself it looks at the compression ratio only."""
        fresh = self._generator.normal(0.0, self.spread, 2)
        self._wander = self.persistence * self._wander + fresh
        room = (self._ceiling - read(observation, "compression_ratio")) / ACTION_SCALE[1]
        middle = self._drift if self.around is None else self.around(observation)
        action = np.minimum(middle + self._wander, [1.0, room])
        return np.clip(action, -1.0, 1.0).astype(np.float32)
