"""The best fixed schedule: a grid over its settings, on the tasks that a policy learns on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.evaluate import evaluate
from sec_rl.agents.lanes import OpenLanes

DATA_RATIOS = (0.3, 0.6, 1.0)
COMPRESSION_RATIOS = (0.25, 0.5, 0.75, 0.9)
# Start and end of pruning: early and late, fast and slow.
PRUNING = ((0.05, 0.4), (0.2, 0.6), (0.3, 0.7), (0.5, 0.85))


@dataclass(frozen=True)
class Tuned:
    """The best fixed schedule.

    Attributes:
        schedule: its settings.
        mean_return: on the episodes it was chosen on.
        tried: schedules in the grid.
    """

    schedule: TargetSchedule
    mean_return: float
    tried: int


def tune_fixed(open_lanes: OpenLanes, *, episodes: int = 128, seed: int = 0) -> Tuned:
    """Return the best schedule of the grid, with targets read and not read.

    Args:
        open_lanes: opens the environment.
        episodes: of each schedule, the same for all of them.
        seed: of the episodes.
    """
    grid = [
        TargetSchedule(data, compression, start, end, follows)
        for data, compression, (start, end), follows in itertools.product(
            DATA_RATIOS, COMPRESSION_RATIOS, PRUNING, (True, False)
        )
    ]
    scores = [float(evaluate(open_lanes, each, episodes=episodes, seed=seed).mean()) for each in grid]
    best = max(range(len(grid)), key=scores.__getitem__)
    return Tuned(grid[best], scores[best], len(grid))
