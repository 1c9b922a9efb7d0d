"""How a run went, segment by segment, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sec_rl.report.figures import BLUE, GREEN, ORANGE, PINK, VIOLET, line_figure

Segments = Sequence[Mapping[str, Any]]


def run_figures(segments: Segments, dense_accuracy: float | None) -> list[tuple[str, str]]:
    """Return the plots of a run, each an SVG and its caption.

    Args:
        segments: lines of `trajectory.jsonl`; segment 0 is the untrained model.
        dense_accuracy: validation accuracy, in [0, 1], at the end of the dense reference; None: there is none.
    """
    metrics = [line["metrics"] for line in segments]
    numbers = [float(line["segment"]) for line in segments]
    accuracy = [100.0 * m["validation_accuracy"] for m in metrics]
    level = None if dense_accuracy is None else ("dense reference, at its end", 100.0 * dense_accuracy)
    seconds = [float(m.get("seconds", 0.0)) for m in metrics]
    bought = [float(m.get("labels_bought", 0)) for m in metrics]
    figures = [
        (
            line_figure(
                "ratios",
                numbers,
                {
                    "data ratio": ([m["data_ratio"] for m in metrics], BLUE),
                    "compression ratio": ([m["compression_ratio"] for m in metrics], ORANGE),
                },
                across="segment",
                label="share",
                limits=(-0.03, 1.03),
                whole=True,
            ),
            "The schedule: the share of the labels in use, and the share of the encoder's prunable cost removed.",
        ),
        (
            line_figure(
                "cost",
                numbers,
                {
                    "bytes, of dense fp32": ([m["size_ratio"] for m in metrics], PINK),
                    "time, of dense int8": ([m["latency_ratio"] for m in metrics], VIOLET),
                },
                across="segment",
                label="ratio, predicted",
                limits=(0.0, 1.05 * max(max(m["size_ratio"], m["latency_ratio"]) for m in metrics)),
                whole=True,
            ),
            "What the model would cost if the run stopped here: predicted while it trains, measured at the end.",
        ),
    ]
    over_labels = (
        "Accuracy on validation texts over labels bought: a vertical climb is training on labels already there."
    )
    courses = [("accuracy-labels", bought, "labels bought", over_labels)]
    # A simulated run has no clock.
    if seconds[-1] > 0.0:
        over_time = "Accuracy on validation texts over training time; scoring and saving are not counted."
        courses.insert(0, ("accuracy-time", seconds, "training time, s", over_time))
    for name, places, across, caption in courses:
        course = {"validation accuracy": (accuracy, GREEN)}
        figures.append((line_figure(name, places, course, across=across, label="%", level=level), caption))
    return figures
