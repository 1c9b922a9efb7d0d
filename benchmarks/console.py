"""What every benchmark says on the terminal: progress, verdicts, and one line when it cannot go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from benchmarks.estimates import Criterion
from sec_rl.errors import SecRlError


def say(line: str) -> None:
    """Print a line of progress, beside the table that goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def verdict(table: str, criteria: Sequence[Criterion]) -> int:
    """Print the table and a line per criterion; returns the exit code (1: a criterion failed)."""
    print(table)
    for criterion in criteria:
        print(criterion.line())
    return int(not all(criterion.passed for criterion in criteria))


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark and end the process with its exit code, or with an error in one line."""
    try:
        sys.exit(main())
    except SecRlError as problem:
        sys.exit(f"error: {problem}")
