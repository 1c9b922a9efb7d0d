"""From labels as they were read (integers or names) to class ids."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np

from sec_rl.readable import shown
from sec_rl.tasks.rows import RawRows, raise_if_bad
from sec_rl.tasks.task import Split


def number_labels(
    task_name: str, splits: Mapping[str, RawRows], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Turn labels into ids.

    Names of classes get ids in alphabetical order, or in the order of `names`. Integers keep their order: with
    `names` they are the ids, without they are numbered from 0 and named by their digits.

    Args:
        task_name: for messages.
        splits: rows that have each passed `row_problems`; one of them is ``"train"``.
        names: name of each class, in the order of the ids, where something gives them.

    Returns:
        the name of each class, and the splits with ids.

    Raises:
        InputError: labels are integers here and names there, have no entry in `names`, or never occur in training.
    """
    raise_if_bad(task_name, _mixed(splits))
    raise_if_bad(task_name, _without_name(splits, names) if names is not None else [])
    raise_if_bad(task_name, _unseen(splits))
    ids: dict[object, int]
    if names is None:
        # Only training counts: whatever else occurs has just been refused.
        ordered = sorted(set(splits["train"].labels))  # type: ignore[type-var]
        names = tuple(str(label) for label in ordered)
        ids = {label: index for index, label in enumerate(ordered)}
    elif isinstance(splits["train"].labels[0], str):
        ids = {label: index for index, label in enumerate(names)}
    else:
        ids = {index: index for index in range(len(names))}
    return names, {split: _numbered(raw, ids) for split, raw in splits.items()}


def _numbered(raw: RawRows, ids: Mapping[object, int]) -> Split:
    pairs = None if raw.pairs is None else tuple(str(pair) for pair in raw.pairs)
    labels = np.array([ids[label] for label in raw.labels], np.int64)
    return Split(tuple(str(text) for text in raw.texts), pairs, labels)


def _mixed(splits: Mapping[str, RawRows]) -> list[str]:
    """Name the rows whose label is of the rarer kind: most often a stray word among integers."""
    rows = [(raw, i, isinstance(raw.labels[i], str)) for raw in splits.values() for i in range(len(raw.labels))]
    n_names = sum(is_name for *_, is_name in rows)
    stray = n_names <= len(rows) - n_names
    kind, other = ("a name", "integers") if stray else ("an integer", "names")
    return [
        f"{raw.where(i, 'label')} is {kind} ({shown(raw.labels[i])}) where others are {other}"
        for raw, i, is_name in rows
        if is_name is stray
    ]


def _without_name(splits: Mapping[str, RawRows], names: tuple[str, ...]) -> list[str]:
    found = []
    for raw in splits.values():
        for index, label in enumerate(raw.labels):
            where = f"{raw.where(index, 'label')} is {shown(label)}"
            if isinstance(label, str) and label not in names:
                near = difflib.get_close_matches(label, names, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                found.append(f"{where}, which is none of the {len(names)} named classes{hint}")
            elif isinstance(label, int) and label >= len(names):
                found.append(f"{where}, but names are given for 0 to {len(names) - 1} only")
    return found


def _unseen(splits: Mapping[str, RawRows]) -> list[str]:
    """Name the first row of every label that training never shows."""
    seen = set(splits["train"].labels)
    found = []
    for raw in splits.values():
        for index, label in enumerate(raw.labels):
            if label not in seen:
                seen.add(label)
                found.append(f"{raw.where(index, 'label')} is {shown(label)}, a label that training never shows")
    return found
