"""The best schedules of a grid on the tasks that a policy learns on, and one whose labels follow the run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.evaluate import play_episodes
from sec_rl.agents.lanes import OpenLanes
from sec_rl.agents.preferred import PreferredSchedule, mean_terms
from sec_rl.agents.responsive import ResponsiveSchedule, tune_responsive

DATA_RATIOS = (0.15, 0.3, 0.6, 1.0)
COMPRESSION_RATIOS = (0.25, 0.5, 0.75, 0.9)
# Start and end of pruning: early, as usual, late.
PRUNING = ((0.1, 0.5), (0.3, 0.7), (0.5, 0.85))


@dataclass(frozen=True)
class Tuned:
    """The best schedules.

    Attributes:
        schedule: the best for all preferences.
        mean_return: of it, on the episodes it was chosen on.
        preferred: the best for each.
        responsive: the same, its labels as the run suggests; policies start from it.
    """

    schedule: TargetSchedule
    mean_return: float
    preferred: PreferredSchedule
    responsive: ResponsiveSchedule


def tune_schedules(open_lanes: OpenLanes, *, episodes: int = 4096, seed: int = 0) -> Tuned:
    """Return the best schedules of the grid, with targets read and not read, and what follows a run.

    Args:
        open_lanes: opens the environment.
        episodes: of each schedule, the same for all of them.
        seed: of the episodes.
    """
    settings = itertools.product(DATA_RATIOS, COMPRESSION_RATIOS, PRUNING, (True, False))
    grid = [TargetSchedule(data, ratio, *window, follows) for data, ratio, window, follows in settings]
    scores = []
    for each in grid:
        # One at a time: every step of the episodes of all schedules would fill 0.7 GB.
        played = play_episodes(open_lanes, each, episodes=episodes, seed=seed)
        scores.append(played.returns)
    returns = np.stack(scores)
    # How episodes open is the same for all schedules.
    opening = played.observations[0]
    best = int(returns.mean(axis=1).argmax())
    reading = [index for index, each in enumerate(grid) if each.follows_targets]
    terms = mean_terms(opening, returns[reading] - returns[best])
    preferred = PreferredSchedule(tuple(grid[index] for index in reading), terms)
    responsive = tune_responsive(open_lanes, preferred, episodes=episodes, seed=seed)
    return Tuned(grid[best], float(returns[best].mean()), preferred, responsive)
