"""Two pictures: performance profiles, and utility against trainings spent."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from benchmarks.controllers_report import Line
from benchmarks.estimates import Estimate
from benchmarks.recipes import POLICY
from benchmarks.stratified import interquartile

_STYLES = list(itertools.product(("-", "--", ":"), [f"C{index}" for index in range(10)]))
_MARKERS = {"-": "D", "--": "s", ":": "^"}
# Of all gains, what the horizontal axis leaves out on either side.
_TAIL = 0.02


def profiles(gains: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the share of runs that gain at least so much (Agarwal et al. 2021, fig. 5)."""
    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes = figure.add_subplot()
    low, high = np.quantile(np.concatenate(list(gains.values())), [_TAIL, 1.0 - _TAIL])
    at = np.linspace(low, high, 300)
    for (name, values), (dash, colour) in zip(gains.items(), itertools.cycle(_STYLES)):
        shares = (values[None, :] >= at[:, None]).mean(axis=1)
        axes.plot(at, 100 * shares, dash, color=colour, linewidth=3 if name == POLICY else 1.3, label=name)
    axes.set_xlabel("final utility above that of the dense model in int8, same task and preference")
    axes.set_ylabel("runs that gain at least this, %")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    return figure


def over_trainings(curves: Mapping[str, Sequence[Estimate]], lines: Sequence[Line]) -> Figure:
    """Draw the interquartile mean of the utility over the trainings that one model took, with 95 % intervals."""
    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes = figure.add_subplot()
    styles = iter(itertools.cycle(_STYLES))
    for name, estimates in curves.items():
        _, colour = next(styles)
        numbers = np.arange(1, len(estimates) + 1)
        axes.plot(numbers, [each.mean for each in estimates], "o-", color=colour, markersize=3, label=name)
        ends = [(each.low, each.high) for each in estimates if each.low is not None and each.high is not None]
        if len(ends) == len(numbers):
            axes.fill_between(numbers, *np.array(ends).T, color=colour, alpha=0.15, linewidth=0)
    for line in lines:
        if line.method in curves:
            continue
        dash, colour = next(styles)
        level = interquartile(line.utility).mean
        if line.method == POLICY:
            axes.axhline(level, color=colour, linewidth=2.5, label=f"{POLICY}, 1 training")
        else:
            axes.plot([line.trainings], [level], _MARKERS[dash], color=colour, markersize=6, label=line.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trainings spent on the task for one preference")
    axes.set_ylabel("final utility, interquartile mean")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    return figure


def write_figure(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
