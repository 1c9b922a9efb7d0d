"""The methods that matter, in real training on left-out tasks: the policy, schedules, and TPE.

Every training is a run of `sec-rl run`, reused when it is there with the same options. TPE searches over what the
command takes: data ratio and compression ratio of the cubic schedule. It draws from a seed, so a search that was cut
short proposes the same trainings again, finds them finished, and goes on behind them.

A search chooses by what `result.json` says of the validation split; what is reported is the utility by the test
split, the bytes on disk and the clock.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.estimates import Criterion, estimate
from benchmarks.left_out import PREFERENCES
from benchmarks.options import Options
from benchmarks.prepared import prepare
from benchmarks.runs import RunSpec, read_result, run_all
from benchmarks.search import TpeSearch
from benchmarks.worlds import N_SEGMENTS
from benchmarks.writing import markdown_table
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.evaluate import evaluate
from sec_rl.agents.learn import open_lanes_of
from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.tuning import COMPRESSION_RATIOS, DATA_RATIOS
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.envs.utility import utility
from sec_rl.values import Metrics, Preference

TRAININGS, QUICK_TRAININGS = 5, 2
SEEDS = 3
POLICY, BEST_FIXED, CUBIC, DENSE, TPE = "policy", "best fixed", "cubic", "dense", "tpe"
# As many labels as the policy bought, chosen by lot, and as much removed, by the cubic schedule.
RANDOM_SUBSET = "random subset"
METHODS = (POLICY, BEST_FIXED, CUBIC, DENSE, RANDOM_SUBSET, TPE)
# Trains one run and returns its folder.
Train = Callable[[Sequence[RunSpec]], Mapping[str, Path]]


@dataclass(frozen=True)
class RealPart:
    """What real training gave.

    Attributes:
        rows: one per task, seed, preference and method.
        tables: Markdown.
        criteria: limits and whether they were kept.
    """

    rows: list[dict[str, Any]]
    tables: list[str]
    criteria: list[Criterion]


def spec(options: Options, task: str, seed: int, name: str, flags: Mapping[str, str]) -> RunSpec:
    """Return a run; `name` is unique among those of a task and seed."""
    common = {
        "task": str(options.task_folder(task)),
        "encoder": options.encoder,
        "seed": str(seed),
        "threads": str(options.threads_per_run),
        "n-segments": str(N_SEGMENTS),
    }
    if options.passes is not None:
        common["passes"] = str(options.passes)
    return RunSpec(f"real/{task}/{name}-seed{seed}".replace(" ", "_"), common | dict(flags))


def cubic(data_ratio: float, compression_ratio: float) -> dict[str, str]:
    """Return the flags of a cubic schedule."""
    return {
        "schedule": "cubic",
        "data-ratio": f"{data_ratio:.4f}",
        "compression-ratio": f"{compression_ratio:.4f}",
    }


def preferred(preference: Preference) -> dict[str, str]:
    """Return the flags of a preference, those that are not its defaults."""
    default = vars(Preference())
    changed = {name: value for name, value in vars(preference).items() if value != default[name]}
    return {f"preference.{name.replace('_', '-')}": f"{value:g}" for name, value in changed.items()}


def random_subset(options: Options, task: str, seed: int, name: str, policy_run: Path) -> RunSpec:
    """Return the run that buys as many labels as a run of the policy did, at random, and removes as much."""
    metrics = _last_metrics(policy_run)
    flags = {**cubic(metrics.label_fraction, metrics.compression_ratio), "selection": "random"}
    return spec(options, task, seed, f"random-subset-{name}", flags)


def best_cubic(simulator: Simulator, episodes: int = 1024) -> tuple[float, float]:
    """Return data and compression ratio of the best schedule that `sec-rl run` can follow, on the training tasks."""
    lanes = open_lanes_of(simulator)
    grid = list(itertools.product(DATA_RATIOS, COMPRESSION_RATIOS))
    returns = [
        evaluate(lanes, TargetSchedule(*each, follows_targets=False), episodes=episodes, seed=0).mean()
        for each in grid
    ]
    return grid[int(np.argmax(returns))]


def scored(folder: Path, dense_folder: Path, preference: Preference) -> dict[str, float]:
    """Return what a finished run is worth.

    Args:
        folder: of the run.
        dense_folder: of the dense run of the same task and seed; accuracy and latency count from it.
        preference: weights of the trade-off.

    Returns:
        `measured`: utility by the validation split, which a search may see; `utility`: by the test split; and what
        both come from.
    """
    result, dense = read_result(folder), read_result(dense_folder)
    last = _last_metrics(folder)
    # Each run times itself against the fp32 model, turn by turn; their ratio is free of how busy the machine was.
    latency_ratio = _against_fp32(result) / _against_fp32(dense)
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


def search(
    options: Options, task: str, seed: int, name: str, train: Train, dense_folder: Path, trainings: int = TRAININGS
) -> list[dict[str, float]]:
    """Return what each training of a TPE search ended with, in order.

    Args:
        options: of the benchmark.
        task: that is searched on.
        seed: of the runs and of the sampler.
        name: key of `PREFERENCES`.
        train: makes sure that runs are finished.
        dense_folder: see `scored`.
        trainings: to spend.
    """
    tpe, found = TpeSearch(seed, ("data_ratio", "compression_ratio")), []
    for count in range(trainings):
        settings = tpe.propose()
        flags = cubic(min(settings["data_ratio"], 1.0), settings["compression_ratio"])
        run = spec(options, task, seed, f"tpe-{name}-{count}", flags)
        folder = train([run])[run.name]
        found.append(scored(folder, dense_folder, PREFERENCES[name]))
        tpe.learn(found[-1]["measured"])
    return found


def rows_of(
    options: Options,
    task: str,
    seed: int,
    policy: Path,
    version: str,
    fixed: tuple[float, float],
    train: Train,
    trainings: int = TRAININGS,
) -> list[dict[str, Any]]:
    """Train all methods on a task with a seed; return a row per preference and method.

    Args:
        options: of the benchmark.
        task: left out of `policy` and `fixed`.
        seed: of the runs.
        policy: folder of the policy.
        version: tells policies apart that were learned into the same folder.
        fixed: data and compression ratio of the best fixed schedule.
        train: makes sure that runs are finished.
        trainings: of a search.
    """
    once = {
        DENSE: spec(options, task, seed, DENSE, {"schedule": "dense", "compression-ratio": "0"}),
        CUBIC: spec(options, task, seed, CUBIC, cubic(1.0, 0.5)),
        BEST_FIXED: spec(options, task, seed, BEST_FIXED, cubic(*fixed)),
    }
    under_policy = {
        name: spec(
            options,
            task,
            seed,
            f"policy-{version}-{name}",
            {"schedule": "policy", "policy": str(policy), **preferred(preference)},
        )
        for name, preference in PREFERENCES.items()
    }
    folders = train([*once.values(), *under_policy.values()])
    dense_folder = folders[once[DENSE].name]
    rows: list[dict[str, Any]] = []
    subsets = {
        name: random_subset(options, task, seed, name, folders[run.name]) for name, run in under_policy.items()
    }
    folders = {**folders, **train(list(subsets.values()))}
    for name, preference in PREFERENCES.items():
        found = search(options, task, seed, name, train, dense_folder, trainings)
        best = max(found, key=lambda each: each["measured"])
        one = {POLICY: under_policy[name], **once, RANDOM_SUBSET: subsets[name]}
        models = {method: scored(folders[run.name], dense_folder, preference) for method, run in one.items()}
        spent = {method: [model] for method, model in models.items()} | {TPE: found}
        for method, model in (models | {TPE: best}).items():
            cost = {
                "trainings": len(spent[method]),
                "example_passes": sum(each["example_passes"] for each in spent[method]),
                "train_seconds": sum(each["train_seconds"] for each in spent[method]),
            }
            rows.append({**model, **cost, "task": task, "seed": seed, "preference": name, "method": method})
    return rows


def judge(rows: Sequence[dict[str, Any]]) -> list[Criterion]:
    """Return the policy's paired gain in utility over each other method, over tasks, seeds and preferences."""
    criteria = []
    key = ("task", "seed", "preference")
    mine = [row for row in rows if row["method"] == POLICY]
    for method in METHODS[1:]:
        theirs = {tuple(row[name] for name in key): row for row in rows if row["method"] == method}
        gains = [row["utility"] - theirs[tuple(row[name] for name in key)]["utility"] for row in mine]
        spent = next(row["trainings"] for row in theirs.values())
        name = f"real training: policy minus {method} ({spent} training{'s' if spent > 1 else ''})"
        criteria.append(Criterion(name, estimate(gains), "at least", 0.0))
    return criteria


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
        "real training: method, trainings",
        "utility",
        "test accuracy, %",
        "bytes / fp32",
        "latency / dense int8",
        "labels bought",
        "passes, all trainings",
        "seconds, all trainings",
    ]
    return markdown_table(header, lines)


def real_part(options: Options, say: Callable[[str], None]) -> RealPart:
    """Train everything that is missing; policies and simulators are those of the simulated part."""

    def train(specs: Sequence[RunSpec]) -> Mapping[str, Path]:
        return run_all(specs, options.out, say, crew=options.crew)

    rows = []
    for task in options.tasks:
        prepared = prepare(task, shipped_traces(), options, say)
        policy = prepared.folder / "policy"
        version = load_policy(policy).network.fingerprint()[:8]
        fixed = best_cubic(load_simulator(prepared.folder / "simulator"))
        for seed in options.seeds[: 1 if options.quick else SEEDS]:
            trainings = QUICK_TRAININGS if options.quick else TRAININGS
            rows += rows_of(options, task, seed, policy, version, fixed, train, trainings)
    return RealPart(rows, [summary(rows)], judge(rows))


def _last_metrics(folder: Path) -> Metrics:
    lines = (folder / "trajectory.jsonl").read_text(encoding="utf-8").splitlines()
    return Metrics(**json.loads(lines[-1])["metrics"])


def _against_fp32(result: Mapping[str, Any]) -> float:
    ours, fp32 = (each["latency_ms"]["batch32"]["p50"] for each in (result, result["dense"]))
    return float(ours / fp32)
