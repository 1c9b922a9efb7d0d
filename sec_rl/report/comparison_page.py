"""Runs side by side: which of them no other beats, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sec_rl.errors import InputError
from sec_rl.report import html
from sec_rl.report.cells import clock_doubt, number, percent, size_ratio, speedup
from sec_rl.report.figures import pareto_figure

HEADER = (
    "run",
    "task",
    "test accuracy",
    "against dense",
    "labels",
    "size",
    "of dense",
    "latency, 32 texts",
    "speed-up",
)


def check_comparable(results: Mapping[str, Mapping[str, Any]]) -> None:
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


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the indices of the runs that no other run beats or equals in one and beats in the other."""
    pairs = list(zip(costs, accuracies, strict=True))
    return [
        i
        for i, (cost, accuracy) in enumerate(pairs)
        if not any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in pairs)
    ]


def comparison_page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page that compares runs: a table, and accuracy over size and over latency per task.

    Args:
        results: run name to `result.json`.

    Raises:
        InputError: see `check_comparable`.
    """
    check_comparable(results)
    rows = [_row(index, name, result) for index, (name, result) in enumerate(results.items(), start=1)]
    parts = [
        html.paragraph(f"{len(results)} runs; source: {next(iter(results.values()))['source']}.", "soft"),
        html.table(HEADER, rows),
    ]
    doubts = {name: clock_doubt(result) for name, result in results.items()}
    parts += [html.paragraph(f"{name}: {doubt}", "soft") for name, doubt in doubts.items() if doubt is not None]
    for task in dict.fromkeys(str(result.get("task")) for result in results.values()):
        chosen = {
            f"{index} {name}": result
            for index, (name, result) in enumerate(results.items(), start=1)
            if str(result.get("task")) == task and result["test_accuracy"] is not None
        }
        if chosen:
            parts += [html.heading(f"Accuracy and cost: {task}"), _plots(task, chosen)]
    return html.page("Runs side by side", *parts)


def _plots(task: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    accuracies = [float(result["test_accuracy"]) for result in results.values()]
    costs = {
        "size, MB": [result["size_bytes"] / 1e6 for result in results.values()],
        "latency of 32 texts, ms (p50)": [result["latency_ms"]["batch32"]["p50"] for result in results.values()],
    }
    numbers = [name.split(" ", 1)[0] for name in results]
    figures = []
    for label, values in costs.items():
        front = pareto_front(values, accuracies)
        best = ", ".join(numbers[i] for i in front)
        figures.append(
            (
                pareto_figure(numbers, values, accuracies, front, label, task),
                f"Numbers are those of the table. Best trade-offs: {best}.",
            )
        )
    return html.plots(figures)


def _row(index: int, name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, dense = result["test_accuracy"], result["dense"]["test_accuracy"]
    lost = None if accuracy is None or dense is None else 100.0 * (accuracy - dense)
    return (
        f"{index} {name}",
        str(result.get("task")),
        percent(accuracy, 2),
        number(lost, " points", 2),
        percent(result["label_fraction"], 0),
        number(result["size_bytes"] / 1e6, " MB"),
        percent(size_ratio(result)),
        number(result["latency_ms"]["batch32"]["p50"], " ms"),
        number(speedup(result), " x"),
    )
