"""Run folders as a run would leave them, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sec_rl.files import append_line
from sec_rl.run_folder import TRAJECTORY, write_config, write_result


def made_up_result(**changes: Any) -> dict[str, Any]:
    """Return a result with every key of the contract."""
    latency = {"batch1": {"p50": 1.0, "p95": 1.5}, "batch32": {"p50": 10.0, "p95": 12.0}}
    slow = {"batch1": {"p50": 4.0, "p95": 5.0}, "batch32": {"p50": 60.0, "p95": 70.0}}
    unknown = dict.fromkeys(
        ("test_accuracy", "validation_accuracy", "perplexity", "label_fraction", "example_passes", "train_seconds")
    )
    result = {
        "source": "measured",
        "task": "movie-reviews",
        "encoder": "minilm-l6",
        "schedule": "cubic",
        "seed": 0,
        "test_accuracy": 0.85,
        "validation_accuracy": 0.86,
        "perplexity": None,
        "label_fraction": 0.3,
        "example_passes": 9600,
        "train_seconds": 100.0,
        "parameters": 12_000_000,
        "size_bytes": 10_000_000,
        "latency_ms": latency,
        "latency_settings": {"sequence_length": 32, "spread": {"artefact": 0.05}, "spread_limit": 0.1},
        "machine": {"cpu": "a processor", "threads": 2, "versions": {"sec_rl": "0.1.0"}},
        "notes": [],
        "seconds": {
            "opening": 9.0,
            "training": 100.0,
            "preparing": 12.0,
            "validation": 6.0,
            "timing": 9.0,
            "control": 0.1,
            "saving": 2.0,
            "closing": 25.0,
        },
        "rollbacks": 0,
        "labels_bought": 4000,
        "test_rows": 1000,
        "task_fingerprint": "a",
        "dense": unknown | {"parameters": 22_000_000, "size_bytes": 80_000_000, "latency_ms": slow},
    }
    return result | changes


def made_up_run(folder: Path, n_segments: int = 4, **changes: Any) -> Path:
    """Write a run folder as a run would, without its model."""
    folder.mkdir()
    write_config(folder, {"task": "movie-reviews", "seed": 0})
    for segment in range(n_segments + 1):
        metrics = {
            "data_ratio": 0.3 if segment else 0.0,
            "compression_ratio": 0.1 * segment,
            "validation_accuracy": 0.5 + 0.08 * segment,
            "segment": segment,
            "n_segments": n_segments,
            "labels_bought": 1000 * segment,
            "label_fraction": 0.1 * segment,
            "seconds": 25.0 * segment,
            "size_ratio": 0.2 - 0.02 * segment,
            "latency_ratio": 1.0 - 0.1 * segment,
        }
        left = {"heads": [12, 3, 0], "ffn": [1536, 400, 0], "dense_heads": 12, "dense_ffn": 1536}
        append_line(folder / TRAJECTORY, {"segment": segment, "metrics": metrics, "structure": left})
    write_result(folder, made_up_result(**changes))
    return folder
