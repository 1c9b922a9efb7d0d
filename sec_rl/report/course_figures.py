"""How several runs went, in one plot each: accuracy over training time, and both ratios over the run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib

from sec_rl.report.figures import BLUE, GREEN, GREY, ORANGE, PINK, STYLE, VIOLET, legend_above, new_axes, themed_svg

Course = Sequence[Mapping[str, Any]]
_COLOURS = (BLUE, ORANGE, GREEN, PINK, VIOLET, GREY)
_DASHES = ("-", "--", ":")
# Name of the plot -> label of each axis, where a segment lies on each, and what a reader should know.
_PLOTS: Mapping[str, tuple[str, str, Callable[[Any], float], Callable[[Any], float], str]] = {
    "accuracy": (
        "training time, s",
        "validation accuracy, %",
        lambda m: m["seconds"],
        lambda m: 100.0 * m["validation_accuracy"],
        "Accuracy on validation texts while the runs train.",
    ),
    "labels": (
        "labels bought, % of the pool",
        "validation accuracy, %",
        lambda m: 100.0 * m["label_fraction"],
        lambda m: 100.0 * m["validation_accuracy"],
        "The same over the labels that were bought by then.",
    ),
    "compression": (
        "progress of the run, %",
        "compression ratio",
        lambda m: 100.0 * m["segment"] / m["n_segments"],
        lambda m: m["compression_ratio"],
        "What each controller removed, and when.",
    ),
    "data": (
        "progress of the run, %",
        "data ratio",
        lambda m: 100.0 * m["segment"] / m["n_segments"],
        lambda m: m["data_ratio"],
        "The share of the labels each controller had in use.",
    ),
}


def course_figures(task: str, runs: Mapping[str, Course]) -> list[tuple[str, str]]:
    """Return the plots, each an SVG and its caption; none for no runs.

    Args:
        task: what the runs were trained on; makes names unique in a page.
        runs: numbered name to lines of `trajectory.jsonl`.
    """
    if not runs:
        return []
    figures = []
    for name, (across, label, place, height, caption) in _PLOTS.items():
        with matplotlib.rc_context(STYLE):
            figure, axes = new_axes()
            styles = itertools.cycle(itertools.product(_DASHES, _COLOURS))
            for (run, segments), (dash, colour) in zip(runs.items(), styles, strict=False):
                metrics = [line["metrics"] for line in segments]
                axes.plot(
                    [place(m) for m in metrics],
                    [height(m) for m in metrics],
                    linestyle=dash,
                    color=colour,
                    label=run.split(" ", 1)[0],
                )
            axes.set_xlabel(across)
            axes.set_ylabel(label)
            legend_above(axes, columns=8)
            svg = themed_svg(figure, f"course-{name}-{task}", f"{label} over {across}, {len(runs)} runs, {task}")
            figures.append((svg, caption))
    return figures
