"""What labels are worth: all of them against 30 % chosen and stretched in several ways, at equal passes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import BenchmarkError, RunSpec, read_result, run_all
from benchmarks.writing import markdown_table, write_results

_THIRTY = {"data-ratio": "0.3"}
VARIANTS: dict[str, dict[str, str]] = {
    "all labels": {"data-ratio": "1"},
    "30 % random": {**_THIRTY, "selection": "random"},
    "30 % margin": {**_THIRTY, "selection": "margin"},
    "30 % margin + pseudo-labels": {**_THIRTY, "selection": "margin", "levers.pseudo-label-share": "0.3"},
    "30 % margin + augmentation": {**_THIRTY, "selection": "margin", "levers.augmentation-share": "0.3"},
}
# Example passes: half an epoch and one epoch of SST-2. What labels are worth depends on how often each can be seen.
BUDGETS = (3_500, 7_000)
# The default choice.
ACTIVE = "30 % margin"
# Points that active learning on 30 % of the labels may lose against all labels.
MAX_LOSS_POINTS = 0.5


def budgets(options: Options) -> tuple[int, ...]:
    """Return the budgets of example passes: the one asked for, or `BUDGETS`."""
    return BUDGETS if options.passes is None else (options.passes,)


def run_name(task: str, passes: int, variant: str, seed: int) -> str:
    """Return the name of a run, and of its folder."""
    plain = variant.replace(" %", "").replace(" + ", "-").replace(" ", "-")
    return f"{task}/{plain}-{passes}-seed{seed}"


def specs(options: Options) -> list[RunSpec]:
    """Return all runs; seeds vary slowest, so that an early stop leaves whole comparisons."""
    found = []
    for seed, task, passes in itertools.product(options.seeds, options.tasks, budgets(options)):
        for variant, own in VARIANTS.items():
            flags = {"task": str(options.task_folder(task)), "encoder": options.encoder, "schedule": "dense"}
            flags |= {
                "compression-ratio": "0",
                # Nothing is pruned, so no table of latencies is needed.
                "pruning.cost": "flops",
                "latency-rounds": "1",
                **own,
                "seed": str(seed),
                "threads": str(options.threads_per_run),
                "passes": str(passes),
            }
            found.append(RunSpec(run_name(task, passes, variant, seed), flags))
    return found


def rows(options: Options) -> list[dict[str, Any]]:
    """Return the figures of every run.

    Raises:
        BenchmarkError: the runs that are compared differ in their passes by more than a batch.
    """
    found = []
    for task, passes, seed in itertools.product(options.tasks, budgets(options), options.seeds):
        results = {v: read_result(options.out / run_name(task, passes, v, seed)) for v in VARIANTS}
        done = {variant: result["example_passes"] for variant, result in results.items()}
        if max(done.values()) > 1.01 * min(done.values()) + 32:
            raise BenchmarkError(f"The runs of {task!r} had unequal passes: {done}.")
        for variant, result in results.items():
            lost = results["all labels"]["test_accuracy"] - result["test_accuracy"]
            found.append(
                {
                    "task": task,
                    "passes": passes,
                    "variant": variant,
                    "seed": seed,
                    "test_accuracy": 100 * result["test_accuracy"],
                    "lost_points": 100 * lost,
                    "label_fraction": result["label_fraction"],
                    "example_passes": result["example_passes"],
                    # Scoring candidates and guessing labels are part of what a lever costs.
                    "train_seconds": result["train_seconds"] + result["preparing_seconds"],
                }
            )
    return found


def judge(found: Sequence[dict[str, Any]]) -> list[Criterion]:
    """Return the criterion of each task and budget: of the default choice, for the best of several would flatter."""
    criteria = []
    for task, passes in groups(found):
        key = (task, passes, ACTIVE)
        lost = [r["lost_points"] for r in found if (r["task"], r["passes"], r["variant"]) == key]
        name = f"{task}, {passes:,} passes, {ACTIVE}: points lost against all labels"
        criteria.append(Criterion(name, estimate(lost), "at most", MAX_LOSS_POINTS))
    return criteria


def groups(found: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return what is compared with each other: task and budget, in the order of the runs."""
    return list(dict.fromkeys((r["task"], r["passes"]) for r in found))


def summary(found: Sequence[dict[str, Any]]) -> str:
    """Return the table: a line per task, budget and variant."""
    header = ["run", "passes", "labels, %", "test accuracy, %", "points lost", "training, s"]
    lines = []
    for task, passes in groups(found):
        for variant in VARIANTS:
            mine = [r for r in found if (r["task"], r["passes"], r["variant"]) == (task, passes, variant)]
            labels = estimate([100 * r["label_fraction"] for r in mine])
            cells = [f"{labels.mean:.0f}", *(estimate([r[k] for r in mine]).text() for k in _COLUMNS)]
            seconds = estimate([r["train_seconds"] for r in mine])
            lines.append([f"{task}, {variant}", f"{passes:,}", *cells, f"{seconds.mean:.0f}"])
    return markdown_table(header, lines)


_COLUMNS = ("test_accuracy", "lost_points")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, judge and write; returns the exit code (1: active learning misses the limit on some task)."""
    options = parse_options(
        "data_levers",
        "All labels against 30 % of them, at equal passes.",
        tasks=("sst2", "trec6"),
        arguments=arguments,
    )
    run_all(specs(options), options.out, say, crew=options.crew)
    found = rows(options)
    criteria = judge(found)
    table = summary(found)
    notes = [
        "Every run is dense (nothing pruned); accuracy is the int8 artefact's, test split; points lost are "
        "paired by seed, at equal passes. Labels are bought over the first 60 % of a run, the first 15 % of them at "
        "random; where all are chosen at random, they are all there from the start."
    ]
    write_results(options, "Data levers", tables=[table], criteria=criteria, notes=notes, data={"rows": found})
    return verdict(table, criteria)


if __name__ == "__main__":
    exit_with(main)
