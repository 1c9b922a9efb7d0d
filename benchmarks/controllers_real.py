"""The methods that matter, in real training on left-out tasks: the policy, schedules, and TPE.

For each task its family is left out of simulator, policy and tuning, as in `benchmarks.controllers`, whose folder
this shares. Every training is a run of `sec-rl run`, reused when it is there with the same options. TPE searches over
what the command takes: data ratio and compression ratio of the cubic schedule. It draws from a seed, so a search that
was cut short proposes the same trainings again, finds them finished, and goes on behind them. Searches take turns: a
training of each, then the next of each, so that workers have something to do. A schedule that several methods try on
the same task with the same seed is trained once, and each of them pays for it.

A search chooses by what `result.json` says of the validation split; what is reported is the utility by the test
split, the bytes on disk and the clock: after all training the models that are kept are timed in turns, those of one
task and seed together. So tasks and seeds may be taken in several sittings (`--add`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import sittings
from benchmarks.clock import artefacts_ms
from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.learned import STEPS
from benchmarks.options import Options, parse_options
from benchmarks.paired import by_run, gains
from benchmarks.prepared import prepare
from benchmarks.runs import RunSpec, read_result, run_all
from benchmarks.search import TpeSearch
from benchmarks.worlds import N_SEGMENTS
from benchmarks.worlds import PREFERENCES as SIMULATED_PREFERENCES
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.evaluate import evaluate
from sec_rl.agents.learn import open_lanes_of
from sec_rl.agents.preferences import fixed_preference
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.tuning import COMPRESSION_RATIOS, DATA_RATIOS
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.envs.utility import utility
from sec_rl.values import Metrics, Preference

NAME = "controllers_real"
# The longest texts first: nobody has to wait for a long run at the end of a round.
TASKS = ("mrpc", "sst2", "trec6")
# SST-2 and TREC-6 are within a few points of their best by then, MRPC has hardly left the majority class. Few enough
# for hundreds of runs.
PASSES = 3000
# Turns of a run's own clock, half of what `sec-rl run` takes: it serves searches only.
ROUNDS = 3
# Every preference is another policy run, random subset and search. In simulation both levers are worth little more
# than one under the first, and much more under the second.
PREFERENCES = {name: SIMULATED_PREFERENCES[name] for name in ("balanced", "few labels")}
TRAININGS, QUICK_TRAININGS = 5, 2
POLICY, BEST_FIXED, CUBIC, DENSE, TPE = "policy", "best fixed", "cubic", "dense", "tpe"
PER_PREFERENCE = "best per preference"
# As many labels as the policy bought, chosen by lot, and as much removed, by the cubic schedule.
RANDOM_SUBSET = "random subset"
METHODS = (POLICY, PER_PREFERENCE, BEST_FIXED, CUBIC, DENSE, RANDOM_SUBSET, TPE)
# Trains runs and returns their folders.
Train = Callable[[Sequence[RunSpec]], Mapping[str, Path]]
# Times the models of a task and seed in turns; milliseconds per folder of a run.
Time = Callable[["Cell", Sequence[Path]], Mapping[Path, float]]


@dataclass(frozen=True)
class Cell:
    """A left-out task and a seed, and what was learned without its family.

    Attributes:
        task: name of the task.
        seed: of the runs and of the searches.
        policy: folder of the policy.
        fixed: data and compression ratio of the best fixed schedule.
        preferred: those of the best one for each of `PREFERENCES`, in its order.
    """

    task: str
    seed: int
    policy: Path
    fixed: tuple[float, float]
    preferred: tuple[tuple[float, float], ...]


def spec(options: Options, cell: Cell, name: str, flags: Mapping[str, str]) -> RunSpec:
    """Return a run; `name` is unique among those of a cell."""
    common = {
        "task": str(options.task_folder(cell.task)),
        "encoder": options.encoder,
        "seed": str(cell.seed),
        "threads": str(options.threads_per_run),
        "n-segments": str(N_SEGMENTS),
        "passes": str(options.passes or PASSES),
        "latency-rounds": str(ROUNDS),
    }
    return RunSpec(f"real/{cell.task}/{name}-seed{cell.seed}".replace(" ", "_"), common | dict(flags))


def cubic(data_ratio: float, compression_ratio: float) -> dict[str, str]:
    """Return the flags of a cubic schedule."""
    return {
        "schedule": "cubic",
        "data-ratio": f"{data_ratio:.4f}",
        "compression-ratio": f"{compression_ratio:.4f}",
    }


def cubic_run(options: Options, cell: Cell, data_ratio: float, compression_ratio: float) -> RunSpec:
    """Return the run of a cubic schedule, named by its ratios: methods that try the same one share it."""
    flags = cubic(data_ratio, compression_ratio)
    return spec(options, cell, f"cubic-{flags['data-ratio']}-{flags['compression-ratio']}", flags)


def preferred(preference: Preference) -> dict[str, str]:
    """Return the flags of a preference, those that are not its defaults."""
    default = vars(Preference())
    changed = {name: value for name, value in vars(preference).items() if value != default[name]}
    return {f"preference.{name.replace('_', '-')}": f"{value:g}" for name, value in changed.items()}


def random_subset(options: Options, cell: Cell, name: str, policy_run: Path) -> RunSpec:
    """Return the run that buys as many labels as a run of the policy did, at random, and removes as much."""
    metrics = _last_metrics(policy_run)
    flags = {**cubic(metrics.label_fraction, metrics.compression_ratio), "selection": "random"}
    return spec(options, cell, f"random-subset-{name}", flags)


def best_cubic(
    simulator: Simulator, preference: Preference | None = None, episodes: int = 1024
) -> tuple[float, float]:
    """Return data and compression ratio of the best schedule that `sec-rl run` can follow, on the training tasks.

    Args:
        simulator: of the training tasks.
        preference: that it has to suit; None: all that a policy learns to serve.
        episodes: of each schedule.
    """
    lanes = open_lanes_of(simulator)
    if preference is not None:
        lanes = partial(
            SimulatorVecEnv,
            simulator,
            prefer=lambda sizes, _: fixed_preference(preference, len(sizes)),
            segments=(N_SEGMENTS,),
        )
    grid = list(itertools.product(DATA_RATIOS, COMPRESSION_RATIOS))
    returns = [
        evaluate(lanes, TargetSchedule(*each, follows_targets=False), episodes=episodes, seed=0).mean()
        for each in grid
    ]
    return grid[int(np.argmax(returns))]


def scored(
    folder: Path, dense_folder: Path, preference: Preference, milliseconds: Mapping[Path, float] | None = None
) -> dict[str, float]:
    """Return what a finished run is worth.

    Args:
        folder: of the run.
        dense_folder: of the dense run of the same task and seed; accuracy and latency count from it.
        preference: weights of the trade-off.
        milliseconds: of both, timed in turns; None: each run's own clock counts, against the fp32 model it timed.

    Returns:
        `measured`: utility by the validation split, which a search may see; `utility`: by the test split; and what
        both come from.
    """
    result, dense = read_result(folder), read_result(dense_folder)
    last = _last_metrics(folder)
    if milliseconds is None:
        latency_ratio = _against_fp32(result) / _against_fp32(dense)
    else:
        latency_ratio = milliseconds[folder] / milliseconds[dense_folder]
    base = replace(
        last,
        size_ratio=result["size_bytes"] / result["dense"]["size_bytes"],
        latency_ratio=latency_ratio,
        label_fraction=result["label_fraction"],
    )
    utilities = {
        key: utility(replace(base, validation_accuracy=result[name]), preference, dense[name])
        for key, name in (("measured", "validation_accuracy"), ("utility", "test_accuracy"))
    }
    return utilities | {
        "test_accuracy": 100 * result["test_accuracy"],
        "size_ratio": base.size_ratio,
        "latency_ratio": latency_ratio,
        "label_fraction": base.label_fraction,
        "example_passes": result["example_passes"],
        "train_seconds": result["train_seconds"],
    }


def search_all(
    options: Options, cells: Sequence[Cell], train: Train, dense: Mapping[Cell, Path], trainings: int = TRAININGS
) -> dict[tuple[Cell, str], list[Path]]:
    """Return the folder of each training of every TPE search, in order, per cell and key of `PREFERENCES`.

    Args:
        options: of the benchmark.
        cells: that are searched on.
        train: makes sure that runs are finished.
        dense: per cell the folder of its dense run, see `scored`.
        trainings: to spend.
    """
    keys = list(itertools.product(cells, PREFERENCES))
    searches = {(cell, name): TpeSearch(cell.seed, ("data_ratio", "compression_ratio")) for cell, name in keys}
    found: dict[tuple[Cell, str], list[Path]] = {key: [] for key in keys}
    for _ in range(trainings):
        runs = {}
        for (cell, name), tpe in searches.items():
            settings = tpe.propose()
            ratios = min(settings["data_ratio"], 1.0), settings["compression_ratio"]
            runs[cell, name] = cubic_run(options, cell, *ratios)
        folders = train(list(runs.values()))
        for (cell, name), run in runs.items():
            found[cell, name].append(folders[run.name])
            seen = scored(folders[run.name], dense[cell], PREFERENCES[name])
            searches[cell, name].learn(seen["measured"])
    return found


def rows_of(
    options: Options, cells: Sequence[Cell], train: Train, time: Time, trainings: int = TRAININGS
) -> list[dict[str, Any]]:
    """Train all methods in all cells; return a row per cell, preference and method.

    Args:
        options: of the benchmark.
        cells: see `Cell`.
        train: makes sure that runs are finished.
        time: times the models that are kept.
        trainings: of a search.
    """
    once = {(cell, method): run for cell in cells for method, run in once_of(options, cell).items()}
    under_policy = {
        (cell, name): spec(
            options,
            cell,
            f"policy-{name}",
            {"schedule": "policy", "policy": str(cell.policy), **preferred(preference)},
        )
        for cell, (name, preference) in itertools.product(cells, PREFERENCES.items())
    }
    per_preference = {
        (cell, name): cubic_run(options, cell, *ratios)
        for cell in cells
        for name, ratios in zip(PREFERENCES, cell.preferred, strict=True)
    }
    folders = train([*once.values(), *under_policy.values(), *per_preference.values()])
    dense = {cell: folders[once[cell, DENSE].name] for cell in cells}
    found = search_all(options, cells, train, dense, trainings)
    subsets = {
        (cell, name): random_subset(options, cell, name, folders[run.name])
        for (cell, name), run in under_policy.items()
    }
    folders = {**folders, **train(list(subsets.values()))}
    rows: list[dict[str, Any]] = []
    for cell in cells:
        spent: dict[tuple[str, str], list[Path]] = {}
        kept: dict[tuple[str, str], Path] = {}
        for name in PREFERENCES:
            one = {method: once[cell, method] for method in (DENSE, CUBIC, BEST_FIXED)}
            for method, runs in ((POLICY, under_policy), (PER_PREFERENCE, per_preference), (RANDOM_SUBSET, subsets)):
                one[method] = runs[cell, name]
            for method, run in one.items():
                spent[name, method] = [folders[run.name]]
                kept[name, method] = folders[run.name]
            tried = found[cell, name]
            spent[name, TPE] = list(tried)
            kept[name, TPE] = max(
                tried, key=lambda folder: scored(folder, dense[cell], PREFERENCES[name])["measured"]
            )
        milliseconds = time(cell, list(dict.fromkeys(kept.values())))
        for (name, method), folder in kept.items():
            results = [read_result(each) for each in spent[name, method]]
            cost = {
                "trainings": len(results),
                "example_passes": sum(each["example_passes"] for each in results),
                "train_seconds": sum(each["train_seconds"] for each in results),
            }
            where = {"task": cell.task, "seed": cell.seed, "preference": name, "method": method}
            rows.append({**scored(folder, dense[cell], PREFERENCES[name], milliseconds), **cost, **where})
    return rows


def once_of(options: Options, cell: Cell) -> dict[str, RunSpec]:
    """Return the runs that read no preference; one training serves all of them."""
    return {
        # All others cut the vocabulary; what that saves is nobody's skill.
        DENSE: spec(
            options, cell, DENSE, {"schedule": "dense", "compression-ratio": "0", "pruning.vocabulary": "pruned"}
        ),
        CUBIC: cubic_run(options, cell, 1.0, 0.5),
        BEST_FIXED: cubic_run(options, cell, *cell.fixed),
    }


def judge(rows: Sequence[dict[str, Any]]) -> list[Criterion]:
    """Return the policy's paired gain in utility over each other method, over tasks and seeds."""
    criteria = []
    for method in METHODS[1:]:
        spent = next(row["trainings"] for row in rows if row["method"] == method)
        name = f"policy minus {method} ({spent} training{'s' if spent > 1 else ''})"
        gained = by_run(gains(rows, POLICY, method))
        criteria.append(Criterion(name, estimate(gained), "at least", 0.0))
    return criteria


def by_preference(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of the policy's gains over each other method, a column per preference."""
    lines = []
    for method in METHODS[1:]:
        own = [[row for row in rows if row["preference"] == name] for name in PREFERENCES]
        lines.append([method, *(estimate(list(gains(each, POLICY, method).values())).text(3) for each in own)])
    return markdown_table(["utility of the policy minus that of", *PREFERENCES], lines)


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table: a line per task, preference and method."""
    columns = (
        ("utility", 4),
        ("test_accuracy", 1),
        ("size_ratio", 3),
        ("latency_ratio", 2),
        ("label_fraction", 2),
        ("example_passes", 0),
        ("train_seconds", 0),
    )
    lines = []
    for task, name, method in itertools.product(dict.fromkeys(row["task"] for row in rows), PREFERENCES, METHODS):
        mine = [row for row in rows if (row["task"], row["preference"], row["method"]) == (task, name, method)]
        cells = [estimate([row[key] for row in mine]).text(digits) for key, digits in columns]
        lines.append([f"{task}, {name}: {method}, {mine[0]['trainings']}", *cells])
    header = [
        "task, preference: method, trainings",
        "utility",
        "test accuracy, %",
        "bytes / fp32",
        "latency / dense int8",
        "labels bought",
        "passes, all trainings",
        "seconds, all trainings",
    ]
    return markdown_table(header, lines)


def learned_cells(options: Options) -> list[Cell]:
    """Learn what is missing without each task's family; seeds vary slowest, as runs are done in this order."""
    learned = {}
    for task in options.tasks:
        prepared = prepare(task, shipped_traces(), options, say, steps=STEPS)
        policy = prepared.folder / "policy"
        simulator = load_simulator(prepared.folder / "simulator")
        preferred_ones = tuple(best_cubic(simulator, preference) for preference in PREFERENCES.values())
        learned[task] = policy, best_cubic(simulator), preferred_ones
    return [Cell(task, seed, *made) for seed in options.seeds for task, made in learned.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, train, judge and write; returns the exit code (1: a criterion failed)."""
    options = parse_options(
        NAME,
        "Learned control against schedules and a search, in real training on left-out tasks.",
        tasks=TASKS,
        runs_of="controllers",
        switches=sittings.SWITCHES,
        arguments=arguments,
    )
    trainings = QUICK_TRAININGS if options.quick else TRAININGS
    made_with = {
        "encoder": Path(options.encoder).name,
        "passes": options.passes or PASSES,
        "segments": N_SEGMENTS,
        "preferences": {name: asdict(preference) for name, preference in PREFERENCES.items()},
        "trainings": trainings,
        "steps": STEPS,
        "threads": options.threads,
    }
    before = sittings.earlier(options, made_with)

    def train(specs: Sequence[RunSpec]) -> Mapping[str, Path]:
        return run_all(specs, options.out, say, crew=options.crew)

    def time(cell: Cell, folders: Sequence[Path]) -> Mapping[Path, float]:
        files = {folder.name: folder / "model" / "model.onnx" for folder in folders}
        where = f"{cell.task} seed {cell.seed}"
        kept = options.out / "latency" / f"real-{cell.task}-seed{cell.seed}.json"
        times, _ = artefacts_ms(files, options.threads, kept, lambda line: say(f"{where}: {line}"))
        return {folder: times[folder.name] for folder in folders}

    taken = rows_of(options, learned_cells(options), train, time, trainings)
    whole, rows, taken_when = sittings.joined(options, before, (taken, sittings.today(options, taken, made_with)))
    criteria, table = judge(rows), summary(rows)
    write_results(
        whole,
        "Learned control in real training",
        tables=[table, by_preference(rows)],
        criteria=criteria,
        notes=[
            f"{options.passes or PASSES:,} example passes a run, {N_SEGMENTS} segments; policies ({STEPS:,} steps) "
            "and best schedules, one for all preferences and one for each, were made without the family of the task "
            "that they are tried on.",
            "TPE searches anew for every preference and keeps what measured best on validation; its passes and "
            "seconds are those of all its trainings. Utility is by the test split.",
            f"Random subset: as many labels as the policy bought, by lot; as much removed, by the cubic schedule. "
            f"Seconds are of training alone, {options.workers} run{'s' if options.workers > 1 else ''} at a time.",
            "Latency: batch 32, the models of a task and seed timed in turns after all training.",
            "Gains by preference: over tasks and seeds; criteria: the same, the mean of both preferences each.",
            *sittings.notes_on(taken_when),
        ],
        over="seeds in the first table, tasks and seeds below it",
        data={"rows": rows, "sittings": sittings.as_json(taken_when)},
    )
    return verdict(table, criteria)


def _last_metrics(folder: Path) -> Metrics:
    lines = (folder / "trajectory.jsonl").read_text(encoding="utf-8").splitlines()
    return Metrics(**json.loads(lines[-1])["metrics"])


def _against_fp32(result: Mapping[str, Any]) -> float:
    ours, fp32 = (each["latency_ms"]["batch32"]["p50"] for each in (result, result["dense"]))
    return float(ours / fp32)


if __name__ == "__main__":
    exit_with(main)
