"""How well the simulator ranks controllers, beside how well real training ranks them itself.

The real side is what `benchmarks.left_out` found; dense runs alone are trained again where that benchmark's are gone.
Each of its controllers runs in the simulator that was fitted without the task's family, told what dense training of
the task is like, and the rankings are compared.
Real runs differ by seed, too. Where one seed ranks controllers otherwise than the next, no simulator can agree with
both; that bound is reported beside the agreement (attenuation, Spearman 1904).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.console import exit_with, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.left_out import (
    N_SEGMENTS,
    POOL_SIZE,
    PREFERENCES,
    PREFERRING,
    SCHEDULES,
    play_all,
    plays,
    real_rows,
)
from benchmarks.options import Options, parse_options
from benchmarks.prepared import Prepared
from benchmarks.worlds import ACCURACY, UTILITY, World
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.controllers import Controller
from sec_rl.agents.evaluate import play
from sec_rl.agents.lanes import EachLane, LaneController, OneByOne
from sec_rl.agents.recorded_tasks import recorded_tasks
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.tasks import load_task
from sec_rl.values import Ratios

# Simulated runs per controller and preference: what is left to chance is less than what sets controllers apart.
COPIES = 1024
# What a simulator has to reach to choose between controllers.
LEAST_CORRELATION, MOST_ERROR_POINTS = 0.8, 2.5

# What is reported of a task, and its words.
COLUMNS: Mapping[str, str] = {
    "seeds": "real seeds",
    "rank_correlation": "simulated with real",
    "between_seeds": "one seed with another",
    "bound": "bound",
    "within_a_preference": "within a preference: simulated with real",
    "between_seeds_within_a_preference": "one seed with another",
    "without_random": "without the random walk",
    "without_random_and_dense": "without dense, too",
    "accuracy_error_points": "error, points",
}

# (controllers x preferences, seeds) or (controllers x preferences,).
Values = NDArray[np.float64]


def real_values(rows: Sequence[Mapping[str, Any]], task: str, key: str) -> tuple[list[tuple[str, str]], Values]:
    """Return the pairs of controller and preference, and what each ended with, (pairs, seeds)."""
    mine = [r for r in rows if r["task"] == task]
    pairs = [(c, p) for c in (*PREFERRING, *SCHEDULES) for p in PREFERENCES]
    seeds = sorted({int(r["seed"]) for r in mine})
    found = {(r["controller"], r["preference"], r["seed"]): float(r[key]) for r in mine}
    return pairs, np.array(
        [[found[controller, preference, seed] for seed in seeds] for controller, preference in pairs]
    )


def between_seeds(values: Values) -> float | None:
    """Return the mean rank correlation of one seed's values with another's; None with a single seed.

    Args:
        values: (pairs, seeds).
    """
    seeds = values.shape[1]
    found = [_rank(values[:, i], values[:, j]) for i, j in itertools.combinations(range(seeds), 2)]
    return float(np.mean(found)) if found else None


def bound(correlation: float, seeds: int) -> float:
    """Return the highest correlation that anything can be expected to have with the mean over seeds.

    Args:
        correlation: of one seed with another; below 0 counts as 0.
        seeds: that the mean is taken over.

    Returns:
        the root of the mean's reliability (Spearman-Brown), in [0, 1].
    """
    single = max(correlation, 0.0)
    return float(np.sqrt(seeds * single / (1.0 + (seeds - 1) * single)))


def without_the_easy(pairs: Sequence[Sequence[str]], simulated: Values, real: Values) -> dict[str, float]:
    """Return the rank correlations without what is easy to rank.

    Anything ranks a random walk last, and the simulator is given the accuracy of the dense runs.

    Args:
        pairs: controller and preference.
        simulated: (pairs,).
        real: (pairs,), means over seeds.
    """
    left_out = {"without_random": ("random",), "without_random_and_dense": ("random", "dense")}
    kept = {key: [at for at, pair in enumerate(pairs) if pair[0] not in names] for key, names in left_out.items()}
    return {key: _rank(simulated[own], real[own]) for key, own in kept.items()}


def world_of(options: Options, task: str, simulator: Path) -> World:
    """Return the task in a simulator that never saw its family, described by its own dense runs."""
    described, names = recorded_tasks(_dense_table(options, task))
    return World(
        replace(load_simulator(simulator).predicting(), tasks=described, names=names),
        seed=0,
        n_segments=N_SEGMENTS,
        preferences=tuple(PREFERENCES.values()),
    )


def simulated_values(
    world: World, controllers: Mapping[str, tuple[LaneController, Ratios]]
) -> dict[tuple[str, str], Values]:
    """Return mean utility and accuracy of every controller under every preference, two entries each.

    Args:
        world: the task.
        controllers: and the ratios that the first action of each starts from, as in the real runs.
    """
    found = {}
    for name, (controller, initial) in controllers.items():
        env = world.lanes(0, COPIES, initial=initial)
        play(env, controller, 0)
        outcomes = world.outcomes(env).reshape(len(PREFERENCES), COPIES, -1).mean(axis=1)
        for preference, ended in zip(PREFERENCES, outcomes, strict=True):
            found[name, preference] = ended[[UTILITY, ACCURACY]]
    return found


def compare(options: Options, task: str, prepared: Prepared, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how the two rankings of a task agree."""
    pairs, real = real_values(rows, task, "utility")
    _, accuracy = real_values(rows, task, "test_accuracy")
    made = {name: prepared.controller(name, N_SEGMENTS) for name in (*PREFERRING, *SCHEDULES)}
    controllers = {name: (_in_lanes(controller), initial) for name, (controller, initial) in made.items()}
    found = simulated_values(world_of(options, task, prepared.folder / "simulator"), controllers)
    simulated = np.array([found[pair] for pair in pairs])
    again, seeds = between_seeds(real), real.shape[1]
    by_preference = [[at for at, pair in enumerate(pairs) if pair[1] == preference] for preference in PREFERENCES]
    alike = [between_seeds(real[own]) for own in by_preference]
    within = [_rank(simulated[own, 0], real[own].mean(axis=1)) for own in by_preference]
    return {
        "task": task,
        "seeds": seeds,
        "pairs": [list(pair) for pair in pairs],
        "real": real.tolist(),
        "simulated": simulated[:, 0].tolist(),
        "rank_correlation": _rank(simulated[:, 0], real.mean(axis=1)),
        **without_the_easy(pairs, simulated[:, 0], real.mean(axis=1)),
        "within_a_preference": float(np.mean(within)),
        "between_seeds_within_a_preference": _mean(alike),
        "between_seeds": again,
        "bound": None if again is None else bound(again, seeds),
        "accuracy_error_points": float(np.abs(100.0 * simulated[:, 1] - accuracy.mean(axis=1)).mean()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, compare and write; returns the exit code (1: a criterion failed)."""
    options = parse_options(
        "ranking",
        "The simulator's ranking of controllers against that of real training.",
        tasks=("sst2", "trec6", "mrpc"),
        runs_of="left_out",
        arguments=arguments,
    )
    rows = real_rows(options.results)
    prepared = play_all(options, (each for each in plays(options) if each.controller == "dense"))
    found = [compare(options, task, prepared[task], rows) for task in options.tasks]
    table = markdown_table(
        ["task", *COLUMNS.values()], [[r["task"], *(_cell(r[key]) for key in COLUMNS)] for r in found]
    )
    criteria = [
        Criterion(
            "rank correlation of simulated and real utility",
            estimate([r["rank_correlation"] for r in found]),
            "at least",
            LEAST_CORRELATION,
        ),
        Criterion(
            "error of the final accuracy, points",
            estimate([r["accuracy_error_points"] for r in found]),
            "at most",
            MOST_ERROR_POINTS,
        ),
    ]
    controllers = (*PREFERRING, *SCHEDULES)
    notes = [
        f"{len(controllers)} controllers ({', '.join(controllers)}) under {len(PREFERENCES)} preferences "
        f"({', '.join(PREFERENCES)}): real means over the seeds of `benchmarks.left_out`, simulated "
        f"means over {COPIES} runs. Policy and simulator are made without the task's family; where those of that "
        "benchmark are gone they are learned again, and the policy is not quite the one that drove the real runs.",
        "One seed with another: the mean over pairs of seeds, of real training alone. Bound: the highest correlation "
        "with the real means that anything can be expected to have, given that (Spearman-Brown; attenuation).",
        "Without the random walk: anything ranks it last. Without dense, too: the simulator is given its accuracy.",
        "Within a preference: the mean over preferences of the same, for the six controllers alone.",
        f"Pools of {POOL_SIZE} texts. Error: mean over controllers and preferences, against the mean test accuracy.",
    ]
    write_results(
        options,
        "The simulator's ranking of controllers",
        tables=[table],
        criteria=criteria,
        notes=notes,
        over="tasks",
        data={"rows": found},
    )
    return verdict(table, criteria)


def _dense_table(options: Options, task: str) -> pd.DataFrame:
    """Return the dense runs of a task as rows of recorded episodes, as far as a description needs them."""
    loaded = load_task(str(options.task_folder(task)), seed=0)
    counts = np.bincount(loaded.test.labels)
    lines = []
    for dense in (each for each in plays(options) if (each.task, each.controller) == (task, "dense")):
        figures = json.loads((options.out / dense.name / "figures.json").read_text(encoding="utf-8"))
        episode = {
            "episode": dense.name,
            "task": task,
            "family": task,
            "controller": dense.controller,
            "pool_size": min(POOL_SIZE, len(loaded.train)),
            "majority": float(counts.max() / counts.sum()),
            # The real utilities count test accuracy, so that is what the simulated ones start from.
            "final_accuracy": figures["closed"]["test_accuracy"],
        }
        last = figures["metrics"][-1]
        episode["budget"] = round(last["example_passes"] / last["passes_fraction"])
        lines += [episode | step for step in figures["metrics"]]
    table = pd.DataFrame(lines)
    # A budget ends with a whole batch, which differs by what was bought; a setting has one.
    return table.assign(budget=table["budget"].min())


def _in_lanes(controller: Controller) -> LaneController:
    return controller if isinstance(controller, OneByOne) else EachLane(controller)


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else float(np.mean(np.array(values, np.float64)))


def _rank(one: Values, other: Values) -> float:
    return float(spearmanr(one, other).statistic)


def _cell(value: float | None) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    exit_with(main)
