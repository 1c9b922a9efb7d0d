"""Tasks: packaged, from a folder, or from the hub; every row is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from sec_rl.errors import InputError, unknown_name
from sec_rl.tasks.checks import check_and_clean
from sec_rl.tasks.files import find_split_files, read_label_names, read_rows
from sec_rl.tasks.hub import load_hub
from sec_rl.tasks.packaged import PACKAGED_TASKS, TaskInfo, packaged_tasks
from sec_rl.tasks.splitting import stratified_holdout
from sec_rl.tasks.task import LabelPool, Split, Task

__all__ = ["LabelPool", "Split", "Task", "TaskInfo", "load_task", "packaged_tasks"]

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1


def load_task(name: str, *, seed: int = 0, batch_size: int = 32) -> Task:
    """Load and check a task.

    Args:
        name: packaged name; a folder with `train`, `validation`, `test` files; or `hub:NAME[/CONFIG]`.
        seed: decides the splits that have to be made.
        batch_size: training needs at least one full batch.

    Raises:
        InputError: the name is unknown, or something in the rows cannot be used.
        MissingDependencyError: the wheel of a packaged task is not installed.
    """
    notes: list[str] = []
    names: tuple[str, ...] | None = None
    if name.startswith("hub:"):
        splits, names, notes = load_hub(name.removeprefix("hub:"))
        if "train" not in splits:
            raise InputError(f"{name} has no labelled train split.")
    elif name in PACKAGED_TASKS:
        texts, labels = PACKAGED_TASKS[name][1]()
        splits = {"train": Dataset.from_dict({"text": texts, "label": labels})}
    elif Path(name).is_dir():
        splits = {split: read_rows(path) for split, path in find_split_files(Path(name)).items()}
        names = read_label_names(Path(name))
    else:
        raise unknown_name("task", name, PACKAGED_TASKS)
    label_names, rows = _number_labels(name, splits, names)
    rows = _complete(rows, seed, notes)
    task = Task(name, label_names, rows["train"], rows["validation"], rows["test"], tuple(notes))
    return check_and_clean(task, batch_size)


def _number_labels(
    name: str, splits: Mapping[str, Dataset], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Turn labels into ids: strings in alphabetical order, integers in their own."""
    values = {split: list(data["label"]) for split, data in splits.items()}
    every = set().union(*values.values())
    if len({type(value) for value in every}) > 1:
        raise InputError(f"Task {name!r}: labels are integers in one split and strings in another.")
    if isinstance(next(iter(every)), str):
        ordered = sorted(every)
        ids = {label: index for index, label in enumerate(ordered)}
        label_names = tuple(str(label) for label in ordered)
    else:
        highest = max(every)
        if names is not None and highest >= len(names):
            raise InputError(f"Task {name!r}: label {highest} has no name; {len(names)} names are given.")
        if names is None and highest > 10 * len(every) + 10:
            raise InputError(
                f"Task {name!r}: labels are integers up to {highest} but only {len(every)} occur."
            )
        label_names = names if names is not None else tuple(str(i) for i in range(highest + 1))
        ids = {label: int(label) for label in every}
    has_pair = {split: "text_pair" in data.column_names for split, data in splits.items()}
    if len(set(has_pair.values())) > 1:
        lacking = next(split for split, has in has_pair.items() if not has)
        raise InputError(f"Task {name!r}: {lacking} has no column 'text_pair', other splits have.")
    rows = {}
    for split, data in splits.items():
        labels: NDArray[np.int64] = np.array([ids[value] for value in values[split]], np.int64)
        pairs = tuple(data["text_pair"]) if has_pair[split] else None
        rows[split] = Split(tuple(data["text"]), pairs, labels)
    return label_names, rows


def _complete(rows: dict[str, Split], seed: int, notes: list[str]) -> dict[str, Split]:
    """Cut the splits that are missing from training."""
    rows = dict(rows)
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
        if split in rows:
            continue
        # Distinct rows only: a duplicate on both sides of the cut would leak.
        keys = rows["train"].keys()
        first = np.array(sorted({key: i for i, key in reversed(list(enumerate(keys)))}.values()), np.int64)
        if len(first) < len(keys):
            notes.append(f"{len(keys) - len(first)} exact duplicates dropped before splitting.")
        train = rows["train"].take(first)
        kept, held = stratified_holdout(train.labels, share, seed)
        rows["train"], rows[split] = train.take(kept), train.take(held)
        notes.append(f"{split} cut from train: {len(held)} rows, stratified, seed {seed}.")
    return rows
