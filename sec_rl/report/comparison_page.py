"""Runs side by side: which of them no other beats, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sec_rl.report import html
from sec_rl.report.cells import NOT_MEASURED, clock_doubt, number, share, size_ratio, speedup
from sec_rl.report.course_figures import course_figures
from sec_rl.report.differences import check_comparable, differences, timed_alike
from sec_rl.report.figures import pareto_figure

HEADER = (
    "run",
    "test accuracy, %",
    "points against dense",
    "labels, %",
    "size, MB",
    "of dense, %",
    "32 texts, ms",
    "speed-up",
)
Results = Mapping[str, Mapping[str, Any]]
# Of each run, lines of `trajectory.jsonl`.
Trajectories = Mapping[str, Sequence[Mapping[str, Any]]]


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the indices of the runs that no other run beats or equals in one and beats in the other."""
    pairs = list(zip(costs, accuracies, strict=True))
    return [
        i
        for i, (cost, accuracy) in enumerate(pairs)
        if not any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in pairs)
    ]


def comparison_page(results: Results, trajectories: Trajectories | None = None) -> str:
    """Return the page that compares runs: a table, what is no difference, and plots per task.

    Args:
        results: run name to `result.json`.
        trajectories: run name to its segments; the runs that have none are in the table and the fronts only.

    Raises:
        InputError: see `check_comparable`.
    """
    check_comparable(results)
    numbered = {f"{index} {name}": result for index, (name, result) in enumerate(results.items(), start=1)}
    segments = dict(zip(numbered, ((trajectories or {}).get(name, ()) for name in results), strict=True))
    source = next(iter(results.values()))["source"]
    parts = [html.paragraph(f"{len(results)} run{'s' if len(results) > 1 else ''}; source: {source}.", "soft")]
    for task, rows in dict.fromkeys(_compared(result) for result in results.values()):
        chosen = {name: result for name, result in numbered.items() if _compared(result) == (task, rows)}
        parts += [html.heading(task), html.table(HEADER, [_row(name, result) for name, result in chosen.items()])]
        lines = differences(chosen)
        if lines:
            parts += [
                html.bullets(lines),
                html.paragraph(
                    "Intervals: 95 %, of the test rows alone; another seed scatters beyond them. "
                    "Times within the clock's own spread are no difference.",
                    "soft",
                ),
            ]
        doubts = {name: clock_doubt(result) for name, result in chosen.items()}
        parts += [html.paragraph(f"{name}: {doubt}", "soft") for name, doubt in doubts.items() if doubt is not None]
        scored = {name: result for name, result in chosen.items() if result["test_accuracy"] is not None}
        figures = _fronts(task, scored) if scored else []
        figures += course_figures(task, {name: segments[name] for name in chosen if segments[name]})
        parts.append(html.plots(figures))
    return html.page("Runs side by side", *parts)


def _compared(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return what two runs must share to be compared: the task, and its rows, which a seed may have split."""
    return str(result.get("task")), str(result.get("task_fingerprint"))


def _fronts(task: str, results: Results) -> list[tuple[str, str]]:
    accuracies = [float(result["test_accuracy"]) for result in results.values()]
    first = next(iter(results.values()))
    alike = all(timed_alike(first, result) for result in results.values())
    costs = {"size, MB": [result["size_bytes"] / 1e6 for result in results.values()]}
    if alike:
        costs["latency of 32 texts, ms"] = [result["latency_ms"]["batch32"]["p50"] for result in results.values()]
    else:
        # Milliseconds of other machines, or of other settings, do not compare; each run timed its dense model, too.
        costs["latency of 32 texts, % of dense"] = [100.0 / speedup(result) for result in results.values()]
    numbers = [name.split(" ", 1)[0] for name in results]
    figures = []
    for label, values in costs.items():
        front = pareto_front(values, accuracies)
        caption = f"Numbers are those of the table. Best trade-offs: {', '.join(numbers[i] for i in front)}."
        if "dense" in label:
            caption += " The runs were timed on different machines, or with different settings."
        figures.append((pareto_figure(numbers, values, accuracies, front, label, task), caption))
    return figures


def _row(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, dense = result["test_accuracy"], result["dense"]["test_accuracy"]
    lost = None if accuracy is None or dense is None else 100.0 * (accuracy - dense)
    return (
        name,
        share(accuracy, 2),
        NOT_MEASURED if lost is None else f"{lost:+.2f}",
        share(result["label_fraction"], 0),
        number(result["size_bytes"] / 1e6),
        share(size_ratio(result)),
        number(result["latency_ms"]["batch32"]["p50"]),
        number(speedup(result), "x"),
    )
