"""Figures of a result as a person reads them; what was not measured is a dash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NOT_MEASURED = "-"
# One block cannot disagree with itself, and two say little.
LEAST_ROUNDS = 3
Values = Mapping[str, Any]


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as per cent."""
    return NOT_MEASURED if value is None else f"{share(value, digits)} %"


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] times a hundred, for a column that names the unit."""
    return NOT_MEASURED if value is None else f"{100.0 * value:.{digits}f}"


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a figure with its unit."""
    return NOT_MEASURED if value is None else f"{value:,.{digits}f}{unit}"


def speedup(result: Values, batch: str = "batch32") -> float:
    """Return median latency of the dense fp32 model over that of the artefact."""
    return float(result["dense"]["latency_ms"][batch]["p50"]) / float(result["latency_ms"][batch]["p50"])


def size_ratio(result: Values) -> float:
    """Return bytes of the artefact over bytes of the dense fp32 model."""
    return float(result["size_bytes"]) / float(result["dense"]["size_bytes"])


def _latency(values: Values, batch: str) -> str:
    times = values["latency_ms"][batch]
    return f"{times['p50']:.2f} / {times['p95']:.2f} ms"


ROWS: Mapping[str, Callable[[Values], str]] = {
    "test accuracy": lambda v: percent(v["test_accuracy"], 2),
    "validation accuracy": lambda v: percent(v["validation_accuracy"], 2),
    "macro F1 (test)": lambda v: percent(v.get("macro_f1"), 2),
    "perplexity": lambda v: number(v.get("perplexity")),
    "labels used": lambda v: percent(v["label_fraction"], 0),
    "example passes": lambda v: number(v["example_passes"], digits=0),
    "training time": lambda v: number(v["train_seconds"], " s", 0),
    "parameters": lambda v: number(v["parameters"], digits=0),
    "size": lambda v: number(v["size_bytes"] / 1e6, " MB"),
    "latency, 1 text (p50 / p95)": lambda v: _latency(v, "batch1"),
    "latency, 32 texts (p50 / p95)": lambda v: _latency(v, "batch32"),
}


def against_dense(result: Values) -> list[tuple[str, str, str]]:
    """Return rows of (what, artefact, dense fp32 model); a row nobody measured is left out."""
    rows = [(name, show(result), show(result["dense"])) for name, show in ROWS.items()]
    return [row for row in rows if row[1:] != (NOT_MEASURED, NOT_MEASURED)]


def clock_doubt(result: Values) -> str | None:
    """Return why the latencies are rough, in one sentence; None where the blocks agree with each other."""
    settings = result.get("latency_settings") or {}
    rounds, limit = settings.get("rounds"), settings.get("spread_limit")
    if rounds is not None and rounds < LEAST_ROUNDS:
        return f"Latencies come from {rounds} round(s), too few to tell how noisy this machine was."
    worst = max((settings.get("spread") or {}).values(), default=0.0)
    if limit is not None and worst > limit:
        return f"This machine was busy or noisy: repeated blocks of latencies spread by up to {100.0 * worst:.0f} %."
    return None


def headline(result: Values) -> str:
    """Return the outcome in one sentence."""
    rough = "roughly " if clock_doubt(result) else ""
    text = f"{rough}{speedup(result):.1f} times faster and {1.0 / size_ratio(result):.1f} times smaller"
    text += f" than the dense model, with {percent(result['test_accuracy'])} of the test set right"
    dense = result["dense"]["test_accuracy"]
    if dense is not None:
        text += f" ({100.0 * (result['test_accuracy'] - dense):+.1f} points against the dense model)"
    if result["label_fraction"] is not None and result["label_fraction"] < 0.995:
        text += f", from {percent(result['label_fraction'], 0)} of the labels"
    return text[:1].upper() + text[1:] + "."


def parity(result: Values) -> str | None:
    """Return how far the two files that were exported agree, in one sentence; None in runs of earlier versions."""
    same, exact = result.get("same_labels"), result.get("fp32")
    if same is None or exact is None:
        return None
    return (
        f"Parity: model.onnx and the PyTorch weights give the same label to {percent(same)} of the test texts, "
        f"and are right in {percent(result['test_accuracy'])} and {percent(exact['test_accuracy'])}."
    )


def first_figures(result: Values) -> list[tuple[str, str, str]]:
    """Return what is read first: (figure, what it is, how it comes about)."""
    dense = result["dense"]
    before, after = dense["latency_ms"]["batch32"]["p50"], result["latency_ms"]["batch32"]["p50"]
    lost = dense["test_accuracy"]
    against = "the dense model was not trained"
    if lost is not None:
        against = f"{100.0 * (result['test_accuracy'] - lost):+.1f} points against dense"
    cells = [
        (f"{speedup(result):.1f}x", "faster", f"{before:.1f} to {after:.1f} ms for 32 texts"),
        (
            f"{1.0 / size_ratio(result):.1f}x",
            "smaller",
            f"{dense['size_bytes'] / 1e6:.1f} to {result['size_bytes'] / 1e6:.1f} MB",
        ),
        (percent(result["test_accuracy"]), "of the test set right", against),
    ]
    if result["label_fraction"] is not None:
        bought = result.get("labels_bought")
        how = "of the training pool" if bought is None else f"{bought:,} bought"
        cells.append((percent(result["label_fraction"], 0), "of the labels", how))
    return cells


def target_rows(result: Values) -> list[tuple[str, str, str, str]]:
    """Return (target, asked, reached, met or not) for every target of a run."""
    rows = []
    for line in result.get("targets") or ():
        reached = "not measured" if line["reached"] is None else f"{line['reached']:.3g}"
        rows.append(
            (line["target"].replace("_", " "), f"{line['asked']:g}", reached, "met" if line["met"] else "NOT met")
        )
    return rows
