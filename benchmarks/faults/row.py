"""What a kind of fault came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        fault: what was done, in words.
        injected: how often.
        lost: how often something was gone that had been safe: a state, a segment, a folder, a starting process.
        corrupted: how often something came back that was not what had been written, or an error that is not ours.
        details: figures beside it, JSON-ready.
        problems: what went wrong, a sentence each.
    """

    fault: str
    injected: int
    lost: int = 0
    corrupted: int = 0
    details: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def together(rows: Sequence[Row]) -> list[Row]:
    """Return one row per fault: what several parts did is counted together; of details the largest is kept."""
    found: dict[str, Row] = {}
    for row in rows:
        other = found.get(row.fault, Row(row.fault, 0))
        details = {name: max(value, other.details.get(name, value)) for name, value in row.details.items()}
        found[row.fault] = Row(
            row.fault,
            other.injected + row.injected,
            other.lost + row.lost,
            other.corrupted + row.corrupted,
            details,
            [*other.problems, *row.problems],
        )
    return list(found.values())
