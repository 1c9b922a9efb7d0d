"""The best fixed schedules: a grid over their settings, on the tasks that a policy learns on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.baselines import TargetSchedule, follow, settings_of
from sec_rl.agents.evaluate import play_episodes
from sec_rl.agents.lanes import OneByOne, OpenLanes
from sec_rl.agents.preferences import LEAST_ACCURACY_WEIGHT
from sec_rl.envs.observation import N_TARGET_KINDS, preference_weights, target_kinds

DATA_RATIOS = (0.15, 0.3, 0.6, 1.0)
COMPRESSION_RATIOS = (0.25, 0.5, 0.75, 0.9)
# Start and end of pruning: early, as usual, late.
PRUNING = ((0.1, 0.5), (0.3, 0.7), (0.5, 0.85))


@dataclass
class PreferredSchedule(OneByOne):
    """The schedule of a grid that suits the preference best; the targets each of them reads itself.

    Without targets a run's utility is linear in the weights of the preference, so a schedule's mean terms say what it
    is worth for any of them, without another run. With targets it is linear but for what is missing to them; each
    combination of targets has terms of its own.

    Attributes:
        grid: schedules.
        terms: (combinations of targets, schedules, 5) what a schedule's utility is ahead of that of one and the same
            other schedule: per unit of the weights of accuracy, size, latency and labels, and without any.
    """

    grid: tuple[TargetSchedule, ...]
    terms: NDArray[np.float64]

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions towards the next ratios of each lane's schedule, (lanes, 2)."""
        ahead = (self.terms[target_kinds(observations)] @ _features(observations)[:, :, None])[..., 0]
        return follow(observations, self._settings[np.argmax(ahead, axis=1)])

    @cached_property
    def _settings(self) -> NDArray[np.float64]:
        return settings_of(self.grid)


@dataclass(frozen=True)
class Tuned:
    """The best fixed schedules.

    Attributes:
        schedule: the best for all preferences.
        mean_return: of it, on the episodes it was chosen on.
        preferred: the best for each.
        tried: schedules in the grid.
    """

    schedule: TargetSchedule
    mean_return: float
    preferred: PreferredSchedule
    tried: int


def tune_fixed(open_lanes: OpenLanes, *, episodes: int = 4096, seed: int = 0) -> Tuned:
    """Return the best schedules of the grid, with targets read and not read.

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
    return Tuned(grid[best], float(returns[best].mean()), preferred, len(grid))


def mean_terms(observations: NDArray[np.float32], ahead: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `PreferredSchedule.terms` by weighted least squares.

    Episodes differ most in how much accuracy a schedule costs their task, and that counts as much as accuracy weighs.
    So each is divided by this weight: the few that weigh it most would hide what labels are worth.

    Args:
        observations: (episodes, 24), the first of each.
        ahead: (schedules, episodes) what each schedule's return is ahead of the other's.
    """
    kinds, features = target_kinds(observations), _features(observations)
    # Observations of episodes that were not drawn may weigh accuracy by nothing.
    even = 1.0 / np.maximum(features[:, :1], LEAST_ACCURACY_WEIGHT)
    terms = np.zeros((N_TARGET_KINDS, len(ahead), features.shape[1]))
    for kind in np.unique(kinds):
        mine = kinds == kind
        fitted, *_ = np.linalg.lstsq((even * features)[mine], even[mine] * ahead[:, mine].T, rcond=None)
        terms[kind] = fitted.T
    return terms


def _features(observations: NDArray[np.float32]) -> NDArray[np.float64]:
    weights = preference_weights(observations)
    return np.concatenate([weights, np.ones((len(weights), 1))], axis=1)
