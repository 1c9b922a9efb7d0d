"""Accuracy per epoch of all arms: a PNG for pages, and an HTML page that opens from disk."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sec_rl.report.figures import STYLE, themed_svg
from sec_rl.report.html import code, page, paragraph, plots

_COLOURS = ("#8a8a8a", "#3b8fd0", "#e08a1e", "#1fa37a", "#cc79a7", "#d55e00", "#f0e442", "#009e73", "#000000")
_DASHES = ("-", "--", ":")


@dataclass(frozen=True)
class Curve:
    """One arm.

    Attributes:
        epochs: (points,) example passes over the rows of the pool.
        accuracy: (seeds, points) validation accuracy in [0, 1].
    """

    epochs: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def figure_of(curves: Mapping[str, Curve], task: str) -> Figure:
    """Draw mean accuracy over epochs, the range over seeds behind it; the combination is the thick line."""
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True)
    styles = itertools.product(_DASHES, _COLOURS)
    for (name, curve), (dash, colour) in zip(curves.items(), styles, strict=False):
        percent = 100.0 * curve.accuracy
        width = 3.0 if name == "sec" else 1.4
        axes.plot(curve.epochs, percent.mean(axis=0), dash, color=colour, linewidth=width, label=name)
        axes.fill_between(
            curve.epochs, percent.min(axis=0), percent.max(axis=0), color=colour, alpha=0.08, linewidth=0
        )
    # The first segments start near chance; what is to be told apart is above.
    ends = [100.0 * curve.accuracy[:, -1].min() for curve in curves.values()]
    axes.set_ylim(bottom=min(ends) - 15.0)
    axes.set_xlabel("example passes over rows of the pool (epochs)")
    axes.set_ylabel("validation accuracy, %")
    axes.set_title(task)
    axes.legend(loc="lower right", fontsize=8, ncols=2)
    return figure


def write_figures(curves: Mapping[str, Curve], task: str, path: Path, command: str, notes: Sequence[str]) -> None:
    """Write `PATH.png` and `PATH.html`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure_of(curves, task).savefig(path.with_suffix(".png"), dpi=150)
    with matplotlib.rc_context(STYLE):
        svg = themed_svg(figure_of(curves, task), f"accuracy-{task}", f"validation accuracy of every arm, {task}")
    parts = [*(paragraph(note) for note in notes), plots([(svg, "Mean over seeds; the band is their range.")])]
    text = page(f"Accuracy per epoch, {task}", *parts, code(command))
    path.with_suffix(".html").write_text(text, encoding="utf-8")
