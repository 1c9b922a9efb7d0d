"""Whether runs may be compared, and whether two of them differ by more than test rows and clock can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sec_rl.errors import InputError
from sec_rl.report.cells import Values

# Two files of one structure differ by names and by rounding.
SAME_SIZE = 0.01
_NORMAL_95 = 1.96


def check_comparable(results: Mapping[str, Values]) -> None:
    """Refuse what may not stand in one table.

    Raises:
        InputError: there is no run, or measured and simulated runs are mixed.
    """
    if not results:
        raise InputError("A comparison needs at least one run folder.")
    sources: dict[str, str] = {}
    for name, result in results.items():
        sources.setdefault(str(result["source"]), name)
    if len(sources) > 1:
        named = " and ".join(f"{name!r} is {source}" for source, name in sorted(sources.items()))
        raise InputError(f"Measured and simulated runs cannot stand in one table: {named}.")


def accuracy_gap(first: Values, second: Values) -> tuple[float, float] | None:
    """Return how far the second run's test accuracy is ahead, and half the width of its 95 % interval, in points.

    The interval is that of two independent samples of test rows (normal approximation), with one row added to each
    side so that a perfect score has a width. Both runs read the same rows, which makes it a little too wide; what
    another seed would give is not in it.

    Returns:
        None where an accuracy or the number of test rows is unknown.
    """
    variance = 0.0
    for result in (first, second):
        rows, accuracy = result.get("test_rows"), result["test_accuracy"]
        if rows is None or accuracy is None:
            return None
        share = (rows * accuracy + 1.0) / (rows + 2.0)
        variance += share * (1.0 - share) / rows
    ahead = 100.0 * (second["test_accuracy"] - first["test_accuracy"])
    return ahead, 100.0 * _NORMAL_95 * math.sqrt(variance)


def timed_alike(first: Values, second: Values) -> bool:
    """Return whether latencies of two runs were taken on one kind of processor with the same settings."""
    return _clock(first) == _clock(second)


def difference(names: tuple[str, str], first: Values, second: Values) -> str:
    """Return in one sentence how the second run differs from the first, and what is no difference."""
    said, same = [], []
    gap = accuracy_gap(first, second)
    if gap is None:
        said.append("accuracy cannot be judged (a run does not tell its test rows)")
    else:
        ahead, half = gap
        same.append(abs(ahead) <= half)
        interval = f"{ahead:+.1f} points [{ahead - half:+.1f}, {ahead + half:+.1f}]"
        said.append(f"accuracy {interval}" + (", no difference" if same[-1] else ""))
    size = second["size_bytes"] / first["size_bytes"]
    same.append(abs(size - 1.0) <= SAME_SIZE)
    said.append("the same size" if same[-1] else f"{size:.2f} times the bytes")
    if timed_alike(first, second):
        time = second["latency_ms"]["batch32"]["p50"] / first["latency_ms"]["batch32"]["p50"]
        same.append(abs(time - 1.0) <= max(_spread(first), _spread(second)))
        said.append("no difference in time that this clock tells" if same[-1] else f"{time:.2f} times the time")
    else:
        said.append("timed on other machines or settings")
    if len(same) == 3 and all(same):
        return f"{names[1]} against {names[0]}: no difference ({'; '.join(said)})."
    return f"{names[1]} against {names[0]}: {'; '.join(said)}."


def differences(results: Mapping[str, Values]) -> list[str]:
    """Return a sentence per run against the first run on the same rows of the same task."""
    firsts: dict[tuple[Any, Any], str] = {}
    lines = []
    for name, result in results.items():
        rows = (result.get("task"), result.get("task_fingerprint"))
        first = firsts.setdefault(rows, name)
        if first != name:
            lines.append(difference((first, name), results[first], result))
    return lines


def _clock(result: Values) -> tuple[Any, ...]:
    settings, machine = result.get("latency_settings") or {}, result.get("machine") or {}
    return settings.get("threads"), settings.get("sequence_length"), machine.get("cpu")


def _spread(result: Values) -> float:
    settings = result.get("latency_settings") or {}
    return max((settings.get("spread") or {}).values(), default=0.0)
