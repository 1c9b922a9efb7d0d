"""Plots as SVG text that follows the page's colours and needs nothing from outside."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Lines, ticks and letters are drawn in this colour and then handed to the page, whose text may be dark or light.
_INK = "#010203"
# Told apart by people with any colour vision, on white and on black (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, PINK = "#3b8fd0", "#e08a1e", "#1fa37a", "#cc79a7"
# matplotlib types its keys as a literal of some three hundred names.
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": "#8a8a8a",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


def ratios_figure(segments: Sequence[int], data: Sequence[float], compression: Sequence[float]) -> str:
    """Plot data ratio and compression ratio, both in [0, 1], over segments."""
    return _line_figure(
        "ratios",
        segments,
        {"data ratio": (data, BLUE), "compression ratio": (compression, ORANGE)},
        label="share",
        limits=(-0.03, 1.03),
    )


def accuracy_figure(segments: Sequence[int], accuracy: Sequence[float], dense: float | None) -> str:
    """Plot validation accuracy, in [0, 1], over segments.

    Args:
        segments: numbers of the segments.
        accuracy: one per segment.
        dense: accuracy of the dense reference at the end of its run; None: there is none.
    """
    percent = [100.0 * value for value in accuracy]
    level = None if dense is None else ("dense reference", 100.0 * dense)
    return _line_figure("accuracy", segments, {"validation accuracy": (percent, GREEN)}, label="%", level=level)


def cost_figure(segments: Sequence[int], size: Sequence[float], latency: Sequence[float]) -> str:
    """Plot predicted size and latency ratios over segments, from 0."""
    return _line_figure(
        "cost",
        segments,
        {"size, of dense fp32": (size, PINK), "latency, of dense int8": (latency, BLUE)},
        label="ratio (predicted)",
        limits=(0.0, 1.05 * max(*size, *latency)),
    )


def pareto_figure(
    numbers: Sequence[str],
    costs: Sequence[float],
    accuracies: Sequence[float],
    front: Sequence[int],
    label: str,
    task: str,
) -> str:
    """Plot accuracy over cost, one numbered point per run, and join the runs of the Pareto front.

    Args:
        numbers: of the runs, written beside their points.
        costs: one per run, lower is better.
        accuracies: one per run, in [0, 1].
        front: indices of the runs that no other run beats.
        label: what the cost is, with its unit.
        task: what the runs were trained on.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes()
        percent = [100.0 * value for value in accuracies]
        ordered = sorted(front, key=lambda index: costs[index])
        axes.plot(
            [costs[i] for i in ordered], [percent[i] for i in ordered], color=ORANGE, zorder=1, label="Pareto front"
        )
        axes.scatter(costs, percent, color=BLUE, zorder=2)
        for number, cost, value in zip(numbers, costs, percent, strict=True):
            axes.annotate(number, (cost, value), xytext=(6, 4), textcoords="offset points")
        axes.margins(0.12)
        axes.set_xlabel(label)
        axes.set_ylabel("test accuracy, %")
        axes.legend(loc="best")
        return themed_svg(figure, f"pareto-{task}-{label}", f"test accuracy over {label}, {task}")


def _line_figure(
    name: str,
    segments: Sequence[int],
    lines: dict[str, tuple[Sequence[float], str]],
    *,
    label: str,
    limits: tuple[float, float] | None = None,
    level: tuple[str, float] | None = None,
) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes()
        for text, (values, colour) in lines.items():
            axes.plot(segments, values, marker="o", color=colour, label=text)
        if level is not None:
            axes.axhline(level[1], color=_INK, linestyle="--", linewidth=1, label=level[0])
        if limits is not None:
            axes.set_ylim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("segment")
        axes.set_ylabel(label)
        axes.legend(loc="best")
        return themed_svg(figure, name, f"{' and '.join(lines)} over segments")


def _axes() -> tuple[Figure, Axes]:
    # No pyplot: it keeps figures alive and picks a screen.
    figure = Figure(figsize=(4.4, 2.7), layout="constrained")
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
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
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
