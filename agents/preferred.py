"""A schedule of a grid for each preference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.baselines import TargetSchedule, follow, settings_of
from sec_rl.agents.lanes import OneByOne
from sec_rl.agents.preferences import LEAST_ACCURACY_WEIGHT
from sec_rl.envs.observation import N_TARGET_KINDS, preference_weights, target_kinds


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
        return follow(observations, self.chosen(observations))

    def chosen(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the settings of each lane's schedule, (lanes, 5), see `settings_of`."""
        settings: NDArray[np.float64] = self._settings[worth(self.terms, observations).argmax(axis=1)]
        return settings

    @cached_property
    def _settings(self) -> NDArray[np.float64]:
        return settings_of(self.grid)


def worth(terms: NDArray[np.float64], observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what terms, (combinations of targets, schedules, 5), say for each observation, (rows, schedules)."""
    found: NDArray[np.float64] = (terms[target_kinds(observations)] @ _features(observations)[:, :, None])[..., 0]
    return found


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
    """Return the weights of accuracy, size, latency and labels, and 1, (rows, 5)."""
    weights = preference_weights(observations)
    return np.concatenate([weights, np.ones((len(weights), 1))], axis=1)
