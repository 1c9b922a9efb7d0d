"""How long calls take, before and after, as plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sec_rl.report.figures import GREY, INK, STYLE, VIOLET, themed_svg

_BATCHES = {"batch1": "1 text", "batch32": "32 texts"}
_SIDES = {"dense": ("dense", GREY), "artefact": ("this model", VIOLET)}


def latency_figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plot the latency of both models at both batch sizes, each an SVG and its caption.

    The axis is logarithmic: equal distances are equal speed-ups. A dot is the median, a bar goes from the 25th to the
    75th percentile, a line from the 5th to the 95th; without quartiles there is a line from the median to the 95th.

    Args:
        result: `result.json`.
    """
    known = result.get("latency_quantiles_ms")
    legend = "Dot: the median. Line: up to the 95th percentile."
    if known is not None:
        legend = "Dot: the median. Bar: the middle half of all calls. Line: from the 5th to the 95th percentile."
    figures = []
    for batch, words in _BATCHES.items():
        times = {"dense": result["dense"]["latency_ms"][batch], "artefact": result["latency_ms"][batch]}
        if known is not None:
            times = {side: {**values, **known[side][batch]} for side, values in times.items()}
        figures.append((_figure(batch, words, times), f"{words[0].upper() + words[1:]} per call. {legend}"))
    return figures


def _figure(batch: str, words: str, times: Mapping[str, Mapping[str, float]]) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 2.0), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="x")
        lows = {side: values.get("p05", values["p50"]) for side, values in times.items()}
        for place, (side, (_, colour)) in enumerate(reversed(_SIDES.items())):
            values = times[side]
            axes.plot([lows[side], values["p95"]], [place, place], color=colour, linewidth=2)
            if "p25" in values:
                axes.barh(place, values["p75"] - values["p25"], 0.45, values["p25"], color=colour)
            axes.plot(values["p50"], place, "o", color=colour, markersize=7, markeredgecolor=INK)
            middle = values["p50"]
            axes.annotate(
                _milliseconds(middle), (middle, place), xytext=(0, 12), textcoords="offset points", ha="center"
            )
        axes.set_yticks(range(len(_SIDES)), [name for name, _ in reversed(_SIDES.values())])
        axes.set_ylim(-0.6, len(_SIDES) - 0.3)
        axes.set_xscale("log")
        axes.set_xlim(min(lows.values()) / 1.6, 1.6 * max(values["p95"] for values in times.values()))
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"latency of {words}, ms (logarithmic)")
        return themed_svg(figure, f"latency-{batch}", f"latency of {words}, dense model and this one")


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 100.0 else f"{value:.3g} ms"
