"""What a kind of fault came to."""

from __future__ import annotations

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
