"""Population based training of schedules (Jaderberg et al. 2017, "Population based training of neural networks").

A population of runs trains side by side. From time to time the worst fifth takes over model and settings of one of
the best fifth (exploit by truncation selection, sec. 4.1.1 there) and changes the settings (explore: times 0.8 or
1.2, or drawn anew with probability 0.25), so that one budget of passes per member finds a whole schedule.

`ray.tune.schedulers.PopulationBasedTraining` is the well-kept implementation, and its rule and defaults are what is
written here. It drives trials that are actors in processes of their own and exchange checkpoints on disk; here a
trial is a row of an array that trains in microseconds, and there are thousands of populations. The rule is twenty
lines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.search import SPACE, LaneSchedules, draw_settings, schedule_of
from benchmarks.side_by_side import Worlds
from benchmarks.worlds import MEASURED, Outcomes, controller_seed
from sec_rl.agents.simulated_lanes import SimulatorVecEnv

# Segments between exchanges, as many as let a removal recover a little.
INTERVAL = 3
QUANTILE, RESAMPLE = 0.2, 0.25
FACTORS = (0.8, 1.2)
# Of a lane's state all but this goes to whoever takes over: every training has luck of its own.
_LUCK = "_noise"


def explore(settings: dict[str, float], generator: np.random.Generator) -> dict[str, float]:
    """Return changed settings, within `SPACE`."""
    fresh = draw_settings(generator)
    moved = {name: value * generator.choice(FACTORS) for name, value in settings.items()}
    chosen = {name: fresh[name] if generator.random() < RESAMPLE else moved[name] for name in SPACE}
    return {name: float(np.clip(value, *SPACE[name])) for name, value in chosen.items()}


def takeovers(scores: NDArray[np.float64], generator: np.random.Generator) -> list[tuple[int, int]]:
    """Return who takes over from whom: pairs of a member of the worst fifth and one of the best, (place, place)."""
    count = max(1, int(QUANTILE * len(scores)))
    order = np.argsort(scores, kind="stable")
    return [(int(worst), int(generator.choice(order[-count:]))) for worst in order[:count]]


def copy_runs(env: SimulatorVecEnv, to: NDArray[np.int64], of: NDArray[np.int64]) -> None:
    """Put runs where others stand, all but what chance has in store for them.

    Args:
        env: the lanes.
        to: lanes that are overwritten.
        of: as many lanes that they become a copy of.
    """
    state = env.state_dict()
    for part in ("lanes", "wishes", "own"):
        for name, column in state[part].items():
            if name != _LUCK:
                column[to] = column[of]
    env.load_state_dict(state)


def train_population(worlds: Worlds, size: int) -> Outcomes:
    """Train a population in every world for every preference.

    Args:
        worlds: the tasks.
        size: members, at least 2; the population spends as many trainings.

    Returns:
        (worlds, preferences, 1, 6) what the member with the best measured utility ended with.
    """
    n = len(worlds.preferences)
    env = worlds.lanes(0, copies=size)
    generators = [np.random.default_rng(controller_seed(seed, 0)) for seed in worlds.seeds]
    members = [draw_settings(generator) for generator in generators for _ in range(n * size)]
    observations, utility = env.reset(), np.zeros(env.num_envs)
    for segment in range(1, worlds.n_segments + 1):
        actions = LaneSchedules([schedule_of(each) for each in members]).act(observations)
        following, rewards, _, _ = env.step(actions)
        observations, utility = np.array(following, np.float32), utility + rewards
        if segment % INTERVAL or segment == worlds.n_segments:
            continue
        every: list[tuple[int, int]] = []
        for world, generator in enumerate(generators):
            groups = range(world * n * size, (world + 1) * n * size, size)
            pairs = [
                (first + worst, first + best)
                for first in groups
                for worst, best in takeovers(utility[first : first + size], generator)
            ]
            for worst, best in pairs:
                members[worst] = explore(members[best], generator)
            every += pairs
        to, of = np.array(every).T
        copy_runs(env, to, of)
        observations[to], utility[to] = observations[of], utility[of]
    ended = worlds.outcomes(env).reshape(len(worlds), n, size, -1)
    best_of_each = ended[..., MEASURED].argmax(axis=2)
    chosen: Outcomes = np.take_along_axis(ended, best_of_each[..., None, None], axis=2)
    return chosen
