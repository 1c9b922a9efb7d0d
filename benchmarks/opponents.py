"""The methods that are compared, by name: every one plays worlds and says how many trainings that took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.planning import train_greedily
from benchmarks.played import Method
from benchmarks.population import train_population
from benchmarks.search import RandomSearch, TpeSearch, search
from benchmarks.side_by_side import Worlds
from benchmarks.worlds import N_OUTCOMES, Outcomes
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.controllers import RandomWalk
from sec_rl.agents.lanes import EachLane, LaneController
from sec_rl.agents.preferred import PreferredSchedule
from sec_rl.backends.simulator.model import Simulator

# Trainings of the searches; what is reported of them are their first 1, 5 and 20.
BUDGETS = (1, 5, 20)
POPULATIONS = (5, 20)
HORIZONS = (1, 3)
TPE, RANDOM_SEARCH = "TPE", "random search"
DENSE, CUBIC, BEST_FIXED, PER_PREFERENCE = "dense, int8", "cubic to a half", "best fixed", "best per preference"


@dataclass(frozen=True)
class Opponent:
    """One method.

    Attributes:
        method: plays worlds.
        trainings: that it spends on the task for each preference.
        learned_from_others: whether it knows the recorded episodes of other tasks.
        searches: whether its outcomes are one per training, of which the best measured one is kept.
    """

    method: Method
    trainings: int = 1
    learned_from_others: bool = False
    searches: bool = False


def one_training(controllers: Sequence[LaneController]) -> Method:
    """Return a method that trains once; worlds take turns with controllers of several seeds, see `stratified`."""

    def method(worlds: Worlds) -> Outcomes:
        found = np.empty((len(worlds), len(worlds.preferences), 1, N_OUTCOMES))
        turns = np.arange(len(worlds)) % len(controllers)
        for turn in np.unique(turns):
            mine = np.flatnonzero(turns == turn)
            found[mine, :, 0] = worlds.take(mine.tolist()).train(controllers[turn])
        return found

    return method


def schedules(fixed: TargetSchedule, preferred: PreferredSchedule) -> dict[str, Opponent]:
    """Return everything that follows a schedule.

    Args:
        fixed: the best one of the training tasks, for all preferences.
        preferred: the best one of them for each preference.
    """
    return {
        PER_PREFERENCE: Opponent(one_training([preferred]), learned_from_others=True),
        BEST_FIXED: Opponent(one_training([fixed]), learned_from_others=True),
        CUBIC: Opponent(one_training([TargetSchedule(follows_targets=False)])),
        DENSE: Opponent(one_training([TargetSchedule(1.0, 0.0, follows_targets=False)])),
        "random walk": Opponent(one_training([EachLane(RandomWalk())])),
    }


def searches(trainings: int = max(BUDGETS)) -> dict[str, Opponent]:
    """Return the searches over schedules of the left-out task itself."""
    found = {
        TPE: Opponent(partial(search, new=TpeSearch, trainings=trainings), trainings, searches=True),
        RANDOM_SEARCH: Opponent(partial(search, new=RandomSearch, trainings=trainings), trainings, searches=True),
    }
    populations = {
        f"population of {size}": Opponent(partial(train_population, size=size), size) for size in POPULATIONS
    }
    return found | populations


def planners(model: Simulator) -> dict[str, Opponent]:
    """Return greedy control with a model; one dense training describes the task to it."""
    return {
        f"greedy, {horizon} segment{'s' if horizon > 1 else ''} ahead": Opponent(
            partial(train_greedily, model=model, horizon=horizon), 2, learned_from_others=True
        )
        for horizon in HORIZONS
    }
