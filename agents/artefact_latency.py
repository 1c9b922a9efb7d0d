"""The clock of a finished run: its artefact against the dense encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sec_rl.measurement.latency import LatencySettings, LatencyTarget, measure_latencies


@dataclass(frozen=True)
class MeasuredLatency:
    """Latency of an artefact and of its dense model, JSON-ready.

    Attributes:
        artefact: per batch size, `p50` and `p95` in ms; `dense`: the same of the dense model.
        quantiles: of `artefact` and `dense`, per batch size, `p05`, `p25`, `p50`, `p75` and `p95` in ms.
        spread: of each at the largest batch, see `sec_rl.measurement.latency.LatencyStats`.
    """

    artefact: dict[str, Any]
    dense: dict[str, Any]
    quantiles: dict[str, Any]
    spread: dict[str, float]


def measure_artefact(folder: Path, encoder: str, n_classes: int, settings: LatencySettings) -> MeasuredLatency:
    """Time `folder/model/model.onnx` against the dense fp32 encoder."""
    targets = [
        LatencyTarget("artefact", "onnx", str(folder / "model" / "model.onnx")),
        LatencyTarget("dense", "torch", encoder, n_classes),
    ]
    stats = measure_latencies(targets, settings)
    quantiles = {
        name: {f"batch{batch}": s.quantiles() for batch, s in by_batch.items()} for name, by_batch in stats.items()
    }
    pairs = {
        name: {batch: {"p50": q["p50"], "p95": q["p95"]} for batch, q in by_batch.items()}
        for name, by_batch in quantiles.items()
    }
    largest = max(settings.batch_sizes)
    spread = {name: by_batch[largest].spread for name, by_batch in stats.items()}
    return MeasuredLatency(pairs["artefact"], pairs["dense"], quantiles, spread)
