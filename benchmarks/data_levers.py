"""What labels are worth: all of them against 30 % chosen and stretched in several ways, at equal passes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.estimates import Criterion, estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import BenchmarkError, RunSpec, read_result, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.errors import SecRlError

_THIRTY = {"data-ratio": "0.3"}
VARIANTS: dict[str, dict[str, str]] = {
    "all labels": {"data-ratio": "1"},
    "30 % random": {**_THIRTY, "selection": "random"},
    "30 % margin": {**_THIRTY, "selection": "margin"},
    "30 % margin + pseudo-labels": {**_THIRTY, "selection": "margin", "levers.pseudo-label-share": "0.3"},
    "30 % margin + augmentation": {**_THIRTY, "selection": "margin", "levers.augmentation-share": "0.3"},
}
# The default choice.
ACTIVE = "30 % margin"
# Points that active learning on 30 % of the labels may lose against all labels.
MAX_LOSS_POINTS = 0.5


def run_name(task: str, variant: str, seed: int) -> str:
    """Return the name of a run, and of its folder."""
    plain = variant.replace(" %", "").replace(" + ", "-").replace(" ", "-")
    return f"{task}/{plain}-seed{seed}"


def specs(options: Options) -> list[RunSpec]:
    """Return all runs; seeds vary slowest, so that an early stop leaves whole comparisons."""
    found = []
    for seed in options.seeds:
        for task in options.tasks:
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
                }
                if options.passes is not None:
                    flags["passes"] = str(options.passes)
                found.append(RunSpec(run_name(task, variant, seed), flags))
    return found


def rows(options: Options) -> list[dict[str, Any]]:
    """Return the figures of every run.

    Raises:
        BenchmarkError: the runs of a task differ in their passes by more than a batch.
    """
    found = []
    for task in options.tasks:
        for seed in options.seeds:
            results = {v: read_result(options.out / run_name(task, v, seed)) for v in VARIANTS}
            passes = {variant: result["example_passes"] for variant, result in results.items()}
            if max(passes.values()) > 1.01 * min(passes.values()) + 32:
                raise BenchmarkError(f"The runs of {task!r} had unequal passes: {passes}.")
            for variant, result in results.items():
                lost = results["all labels"]["test_accuracy"] - result["test_accuracy"]
                found.append(
                    {
                        "task": task,
                        "variant": variant,
                        "seed": seed,
                        "test_accuracy": 100 * result["test_accuracy"],
                        "lost_points": 100 * lost,
                        "label_fraction": result["label_fraction"],
                        "example_passes": result["example_passes"],
                        "train_seconds": result["train_seconds"],
                    }
                )
    return found


def judge(found: Sequence[dict[str, Any]], tasks: Sequence[str]) -> list[Criterion]:
    """Return the criterion of each task: the default choice alone, for the best of several would flatter."""
    criteria = []
    for task in tasks:
        lost = [r["lost_points"] for r in found if (r["task"], r["variant"]) == (task, ACTIVE)]
        name = f"{task}, {ACTIVE}: points lost against all labels"
        criteria.append(Criterion(name, estimate(lost), "at most", MAX_LOSS_POINTS))
    return criteria


def summary(found: Sequence[dict[str, Any]], tasks: Sequence[str]) -> str:
    """Return the table: a line per task and variant."""
    header = ["run", "labels, %", "test accuracy, %", "points lost", "training, s"]
    lines = []
    for task in tasks:
        for variant in VARIANTS:
            mine = [r for r in found if (r["task"], r["variant"]) == (task, variant)]
            labels = estimate([100 * r["label_fraction"] for r in mine])
            cells = [f"{labels.mean:.0f}", *(estimate([r[k] for r in mine]).text() for k in _COLUMNS)]
            seconds = estimate([r["train_seconds"] for r in mine])
            lines.append([f"{task}, {variant}", *cells, f"{seconds.mean:.0f}"])
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
    run_all(
        specs(options), options.out, lambda line: print(line, file=sys.stderr, flush=True), workers=options.workers
    )
    found = rows(options)
    criteria = judge(found, options.tasks)
    table = summary(found, options.tasks)
    notes = [
        "Every run is dense (nothing pruned) and has the same passes; accuracy is the int8 artefact's, test split."
    ]
    write_results(options, "Data levers", tables=[table], criteria=criteria, notes=notes, data={"rows": found})
    print(table)
    for criterion in criteria:
        print(criterion.line())
    return int(not all(criterion.passed for criterion in criteria))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SecRlError as problem:
        sys.exit(f"error: {problem}")
