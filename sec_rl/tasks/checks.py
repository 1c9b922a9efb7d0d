"""Checks of rows and splits, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sec_rl.errors import InputError
from sec_rl.tasks.task import Split, Task

MAX_LISTED = 20


def raise_if_bad(problems: Sequence[str], source: str) -> None:
    """Raise one error that lists up to `MAX_LISTED` problems.

    Raises:
        InputError: there is a problem.
    """
    if not problems:
        return
    shown = "; ".join(problems[:MAX_LISTED])
    more = f"; and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
    raise InputError(f"{source}: {len(problems)} bad: {shown}{more}.")


def check_and_clean(task: Task, batch_size: int = 32) -> Task:
    """Check a task as a whole, drop duplicates, and keep test and validation rows out of training.

    Args:
        task: rows that have each been checked already.
        batch_size: training needs at least one full batch.

    Raises:
        InputError: one class only, a label that training never shows, an empty or too small split.
    """
    notes = list(task.notes)
    splits = {}
    for name in ("train", "validation", "test"):
        split: Split = getattr(task, name)
        if len(split) == 0:
            raise InputError(f"Task {task.name!r}: the {name} split has no rows.")
        splits[name] = _without_duplicates(split, name, notes)
    held_out = set(splits["test"].keys())
    splits["validation"] = _without_leaks(splits["validation"], held_out, "validation", "test", notes)
    if len(splits["validation"]) == 0:
        raise InputError(f"Task {task.name!r}: every validation row also stands in test.")
    held_out |= set(splits["validation"].keys())
    splits["train"] = _without_leaks(splits["train"], held_out, "train", "test or validation", notes)
    train = splits["train"]
    if len(train) < batch_size:
        raise InputError(
            f"Task {task.name!r}: training has {len(train)} distinct rows; at least one batch of {batch_size} is needed."
        )
    shown = set(np.unique(train.labels).tolist())
    if len(shown) < 2:
        raise InputError(
            f"Task {task.name!r}: training shows one class only ({task.label_names[shown.pop()]!r})."
        )
    for name in ("validation", "test"):
        unseen = sorted(set(np.unique(splits[name].labels).tolist()) - shown)
        if unseen:
            names = ", ".join(repr(task.label_names[i]) for i in unseen[:5])
            raise InputError(f"Task {task.name!r}: {name} has labels that training never shows: {names}.")
    return Task(task.name, task.label_names, train, splits["validation"], splits["test"], tuple(notes))


def _without_duplicates(split: Split, name: str, notes: list[str]) -> Split:
    first: dict[str, int] = {}
    contradictions = 0
    for index, key in enumerate(split.keys()):
        earlier = first.setdefault(key, index)
        contradictions += int(split.labels[earlier] != split.labels[index])
    dropped = len(split) - len(first)
    if dropped:
        clause = f", {contradictions} of them with another label" if contradictions else ""
        notes.append(f"{dropped} exact duplicates dropped from {name}{clause}.")
    return split.take(np.array(sorted(first.values()), np.int64)) if dropped else split


def _without_leaks(split: Split, held_out: set[str], name: str, others: str, notes: list[str]) -> Split:
    kept = np.array([i for i, key in enumerate(split.keys()) if key not in held_out], np.int64)
    if len(kept) == len(split):
        return split
    notes.append(f"{len(split) - len(kept)} rows that also stand in {others} removed from {name}.")
    return split.take(kept)
