"""How much of a validation split's luck two models of one task share: what a search that compares them is spared.

A split of n rows is off by chance, and whoever compares two models on the same rows is off by less: they are right on
much the same ones. Of the variance of either accuracy the share that is common is the correlation, over rows, of one
model being right with the other being right. The dense model and the cubic one of each task and seed of
`benchmarks.controllers_real` are asked, whose folder this shares; what is missing is trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.console import exit_with, say, verdict
from benchmarks.controllers_real import CUBIC, DENSE, TASKS, Cell, once_of
from benchmarks.estimates import estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.classifier import Classifier
from sec_rl.tasks import Task, load_task

NAME = "shared_luck"


def right_on(task: Task, folder: Path) -> NDArray[np.float64]:
    """Return on which validation rows a run's model is right, (rows,) of 0 and 1."""
    split = task.validation
    found = Classifier(folder / "model").predict(split.texts, split.pairs)
    answers = np.array([task.label_names.index(each.label) for each in found])
    return np.asarray(answers == split.labels, np.float64)


def shared(options: Options) -> dict[str, list[float]]:
    """Return per task, and seed, the share that the dense and the cubic model have in common, in [-1, 1]."""
    pairs = {}
    for task, seed in itertools.product(options.tasks, options.seeds):
        once = once_of(options, Cell(task, seed, Path(), (1.0, 0.5), ()))
        pairs[task, seed] = [once[name] for name in (DENSE, CUBIC)]
    folders = run_all([run for pair in pairs.values() for run in pair], options.out, say, crew=options.crew)
    found: dict[str, list[float]] = {task: [] for task in options.tasks}
    for (task, seed), pair in pairs.items():
        rows = load_task(str(options.task_folder(task)), seed=seed)
        found[task].append(float(np.corrcoef([right_on(rows, folders[run.name]) for run in pair])[0, 1]))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, ask, and write; returns the exit code 0: there is nothing to fail."""
    options = parse_options(
        NAME,
        "How much of a validation split's luck two models of one task share.",
        tasks=TASKS,
        runs_of="controllers",
        arguments=arguments,
    )
    found = shared(options)
    rows = [[task, estimate(values).text(2)] for task, values in found.items()]
    rows.append(["all", estimate([value for values in found.values() for value in values]).text(2)])
    table = markdown_table(["task", "share of the luck that both models have"], rows)
    write_results(
        options,
        "Luck that two models share",
        tables=[table],
        over="seeds (all: tasks and seeds)",
        notes=["Dense and cubic to one half, 3,000 passes each, on all validation rows, by the int8 files."],
        data={"shared": found},
    )
    return verdict(table, [])


if __name__ == "__main__":
    exit_with(main)
