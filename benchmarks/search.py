"""Searches for the best schedule of one task: what a practitioner does without a learned controller.

Each proposes settings of `TargetSchedule`, sees the utility that validation measured at the end of the training, and
proposes again. None sees the task's truth, and the model that is kept is the one of the best measured training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.side_by_side import Worlds
from benchmarks.worlds import MEASURED, Outcomes
from sec_rl.agents.baselines import TargetSchedule, follow, settings_of

# Settings by name, each a number in a range. Above 1 the data ratio is 1: all labels at once is a corner that no
# continuous draw would hit.
SPACE: Mapping[str, tuple[float, float]] = {
    "data_ratio": (0.05, 1.1),
    "compression_ratio": (0.0, 0.95),
    "pruning_start": (0.0, 0.8),
    "pruning_share": (0.1, 1.0),
    "follows_targets": (0.0, 1.0),
}
# Trainings before TPE models anything; its default of 10 would make half of 20 trainings random.
TPE_START = 3


def schedule_of(settings: Mapping[str, float]) -> TargetSchedule:
    """Return the schedule of settings within `SPACE`; pruning takes `pruning_share` of what is left of the run."""
    start = settings["pruning_start"]
    return TargetSchedule(
        min(settings["data_ratio"], 1.0),
        settings["compression_ratio"],
        start,
        start + settings["pruning_share"] * (1.0 - start),
        settings["follows_targets"] < 0.5,
    )


def draw_settings(generator: np.random.Generator) -> dict[str, float]:
    """Draw settings, uniform in `SPACE`."""
    return {name: float(generator.uniform(*bounds)) for name, bounds in SPACE.items()}


class Search(Protocol):
    """Proposes a training, learns what it gave, proposes the next."""

    def propose(self) -> dict[str, float]:
        """Return the settings of the next training."""

    def learn(self, utility: float) -> None:
        """Take note of the utility that was measured at its end."""


class RandomSearch:
    """Draws without looking back (Bergstra & Bengio 2012).

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def propose(self) -> dict[str, float]:
        """Return the next draw."""
        return draw_settings(self._generator)

    def learn(self, utility: float) -> None:
        """Forget it."""


class TpeSearch:
    """Tree-structured Parzen estimator (Bergstra et al. 2011) of Optuna, all settings modelled jointly.

    Its first training is the usual cubic schedule, as anybody's would be who knows the field.

    Args:
        seed: of the sampler.
        names: settings of `SPACE` to search over.
    """

    def __init__(self, seed: int, names: Sequence[str] = tuple(SPACE)) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=TPE_START, multivariate=True)
        self._study: Any = optuna.create_study(direction="maximize", sampler=sampler)
        usual = TargetSchedule()
        first = {
            "data_ratio": usual.data_ratio,
            "compression_ratio": usual.compression_ratio,
            "pruning_start": usual.pruning_start,
            "pruning_share": (usual.pruning_end - usual.pruning_start) / (1.0 - usual.pruning_start),
            "follows_targets": 0.0,
        }
        self._names = names
        self._study.enqueue_trial({name: first[name] for name in names})

    def propose(self) -> dict[str, float]:
        """Return the settings that the sampler expects most of."""
        self._trial = self._study.ask()
        return {name: float(self._trial.suggest_float(name, *SPACE[name])) for name in self._names}

    def learn(self, utility: float) -> None:
        """Tell the sampler."""
        self._study.tell(self._trial, utility)


class LaneSchedules:
    """A schedule of its own in every lane.

    Args:
        schedules: one per lane.
    """

    def __init__(self, schedules: Sequence[TargetSchedule]) -> None:
        self.schedules, self._settings = list(schedules), settings_of(schedules)

    def begin(self, n_lanes: int, seed: int) -> None:
        """Do nothing: schedules remember nothing and draw nothing."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what each lane's schedule answers, (lanes, 2)."""
        return follow(observations, self._settings)


def search(worlds: Worlds, new: Callable[[int], Search], trainings: int) -> Outcomes:
    """Spend trainings, a search of its own in every world for every preference.

    Args:
        worlds: the tasks.
        new: makes a search from a seed.
        trainings: of each search.

    Returns:
        (worlds, preferences, trainings, 6) what each training ended with, see `World.outcomes`.
    """
    n = len(worlds.preferences)
    searches = [
        new(int(state // 2)) for seed in worlds.seeds for state in np.random.SeedSequence([seed, 2]).generate_state(n)
    ]
    found = []
    for training in range(trainings):
        ended = worlds.train(LaneSchedules([schedule_of(each.propose()) for each in searches]), training)
        for each, measured in zip(searches, ended[..., MEASURED].ravel(), strict=True):
            each.learn(float(measured))
        found.append(ended)
    return np.stack(found, axis=2)
