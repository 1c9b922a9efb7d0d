"""What drives a run: observation in, action out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.schedules import Schedule
from sec_rl.envs.action import action_towards
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
    next ones do, so a schedule that jumps (few segments, a high ratio) arrives later than it says.

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
