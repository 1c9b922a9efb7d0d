"""Plots as SVG text that follows the page's colours and needs nothing from outside."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Lines, ticks and letters are drawn in this colour and then handed to the page, whose text may be dark or light.
INK = "#010203"
# Told apart by people with any colour vision, on white and on black (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, PINK, VIOLET, GREY = "#3b8fd0", "#e08a1e", "#1fa37a", "#cc79a7", "#8577d8", "#8a8a8a"
# matplotlib types its keys as a literal of some three hundred names.
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#8a8a8a",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


def pareto_figure(
    numbers: Sequence[str],
    costs: Sequence[float],
    accuracies: Sequence[float],
    front: Sequence[int],
    label: str,
    task: str,
) -> str:
    """Plot accuracy over cost, one numbered point per run, and what the runs of the Pareto front reach at each cost.

    Args:
        numbers: of the runs, written beside their points.
        costs: one per run, lower is better.
        accuracies: one per run, in [0, 1].
        front: indices of the runs that no other run beats.
        label: what the cost is, with its unit.
        task: what the runs were trained on.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes()
        percent = [100.0 * value for value in accuracies]
        ordered = sorted(front, key=lambda index: costs[index])
        axes.step(
            [costs[i] for i in ordered],
            [percent[i] for i in ordered],
            where="post",
            color=ORANGE,
            zorder=1,
            label="Pareto front",
        )
        for i, (number, cost, value) in enumerate(zip(numbers, costs, percent, strict=True)):
            axes.plot(cost, value, "o", color=ORANGE if i in front else GREY, markersize=6, zorder=2)
            # Below and to the right there is no run that is better, and so no front.
            axes.annotate(number, (cost, value), xytext=(5, -12), textcoords="offset points")
        axes.margins(0.12)
        axes.set_xlabel(label)
        axes.set_ylabel("test accuracy, %")
        legend_above(axes)
        return themed_svg(figure, f"pareto-{task}-{label}", f"test accuracy over {label}, {task}")


def line_figure(
    name: str,
    places: Sequence[float],
    lines: Mapping[str, tuple[Sequence[float], str]],
    *,
    across: str,
    label: str,
    limits: tuple[float, float] | None = None,
    level: tuple[str, float] | None = None,
    whole: bool = False,
) -> str:
    """Plot lines over a common quantity as SVG text.

    Args:
        name: unique in its page.
        places: (points,) where the points lie.
        lines: what each line is, to its (points,) values and its colour.
        across: what `places` is, with its unit.
        label: what the values are, with their unit.
        limits: of the values; None: those of the lines.
        level: what a horizontal line is, and its height.
        whole: whether `places` counts something, so that ticks are whole numbers.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes()
        for text, (values, colour) in lines.items():
            axes.plot(places, values, marker="o", color=colour, label=text)
        if level is not None:
            axes.axhline(level[1], color=INK, linestyle="--", linewidth=1, label=level[0])
        if limits is not None:
            axes.set_ylim(*limits)
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(across)
        axes.set_ylabel(label)
        legend_above(axes)
        return themed_svg(figure, name, f"{' and '.join(lines)} over {across}")


def legend_above(axes: Axes, *, columns: int = 2) -> None:
    """Name the lines above the plot, where they cover none of them."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, handlelength=1.4, columnspacing=1.2)


def new_axes() -> tuple[Figure, Axes]:
    """Return a figure of the size of all plots, with its axes."""
    # No pyplot: it keeps figures alive and picks a screen.
    figure = Figure(figsize=(5.0, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True)
    return figure, axes


def themed_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure drawn under `STYLE` as SVG text that takes on a page's colours.

    Args:
        figure: what is drawn.
        name: unique in its page.
        description: for readers who do not see it.
    """
    buffer = io.StringIO()
    # A salt of its own keeps the ids of several plots in one page apart, and equal from run to run.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    # Groups are named alike in every plot of matplotlib's; a page may hold a name once.
    prefix = re.sub(r"\W+", "-", name)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    described = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{described}"', 1)
