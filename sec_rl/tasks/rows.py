"""Rows as they were read, and the checks that each of them must pass before anything trusts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sec_rl.errors import InputError
from sec_rl.readable import encoding_fault, shown, text_fault

MAX_LISTED = 20


@dataclass(frozen=True)
class RawRows:
    """One split before its rows are checked.

    Attributes:
        source: what a person finds it by, such as ``"train.csv"``.
        texts: (n) first texts, of any type.
        pairs: (n) second texts, or None where the split has no such column.
        labels: (n) labels, of any type.
        places: (n) where each row stands, such as ``"row 3 (line 4)"``; rows count from 1, without the header.
        problems: what already went wrong while reading, one clause each.
        label_names: names of integer labels, where the source itself knows them.
        ignored: columns that are not used.
        columns: the source's own names of `text`, `text_pair` and `label`, where they are others.
    """

    source: str
    texts: Sequence[object] = ()
    pairs: Sequence[object] | None = None
    labels: Sequence[object] = ()
    places: Sequence[str] = ()
    problems: tuple[str, ...] = ()
    label_names: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    def where(self, index: int, name: str) -> str:
        """Return where the `text`, `text_pair` or `label` of a row stands, for a message."""
        return f"{self.source} {self.places[index]} column {self.columns.get(name, name)!r}"


def text_problem(value: object) -> str | None:
    """Say what is wrong with a text, or None."""
    if isinstance(value, str) and not value.strip():
        return "is empty"
    return text_fault(value)


def label_problem(value: object) -> str | None:
    """Say what is wrong with a label, or None."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is missing"
    if isinstance(value, str):
        return encoding_fault(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return f"is {shown(value)}; labels are integers or names"
    if value < 0:
        return f"is {value}; integer labels start at 0"
    return None


def row_problems(splits: Mapping[str, RawRows]) -> list[str]:
    """Check every row of a task on its own.

    Returns:
        one clause per problem, naming file, row and column, in the order of the files.
    """
    found: list[str] = []
    for raw in splits.values():
        found += raw.problems
        for index in range(len(raw.places)):
            columns = {"text": text_problem(raw.texts[index])}
            if raw.pairs is not None:
                columns["text_pair"] = text_problem(raw.pairs[index])
            columns["label"] = label_problem(raw.labels[index])
            found += [f"{raw.where(index, name)} {what}" for name, what in columns.items() if what]
    return found


def raise_if_bad(task_name: str, problems: Sequence[str]) -> None:
    """Raise one error that lists the first `MAX_LISTED` problems and counts the rest.

    Raises:
        InputError: there is a problem.
    """
    if not problems:
        return
    listed = "; ".join(problems[:MAX_LISTED])
    rest = len(problems) - MAX_LISTED
    more = f"; and {rest} more" if rest > 0 else ""
    count = f"{len(problems)} problems: " if len(problems) > 1 else ""
    raise InputError(f"Task {task_name!r} cannot be used: {count}{listed}{more}.")
