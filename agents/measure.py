"""Measuring a finished run again, on this or another machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sec_rl.agents.artefact_latency import measure_artefact
from sec_rl.classifier import read_label_names
from sec_rl.encoders import resolve_encoder
from sec_rl.errors import RunFolderError
from sec_rl.files import write_atomically
from sec_rl.measurement.latency import LatencySettings
from sec_rl.measurement.machine import describe_machine, usable_cores
from sec_rl.results import started_from
from sec_rl.run_folder import read_result

_SETTINGS = ("threads", "sequence_length", "rounds", "max_rounds")


def measure(folder: str | Path, *, threads: int | None = None) -> tuple[Path, dict[str, Any]]:
    """Time a run's artefact and its dense encoder, and write `measurements/<time>.json`.

    Rounds and tokens per text are those of the run.

    Args:
        folder: of the run.
        threads: of each model; None: as many as in the run, or every core where there are fewer.

    Returns:
        the file, and what it holds.

    Raises:
        RunFolderError: the folder holds no finished run.

    Examples:
        >>> from sec_rl import measure
        >>> path, found = measure("RUN")
        >>> path.parent.as_posix(), sorted(found["latency_ms"])
        ('RUN/measurements', ['batch1', 'batch32'])
    """
    folder = Path(folder)
    result = read_result(folder)
    before = result.get("latency_settings") or {}
    missing = [name for name in _SETTINGS if before.get(name) is None]
    if missing or not isinstance(result.get("encoder"), str):
        raise RunFolderError(
            f"{str(folder)!r} does not say {', '.join(missing) or 'its encoder'}: nothing to repeat."
        )
    settings = LatencySettings(
        threads=threads or min(before["threads"], usable_cores()),
        sequence_length=before["sequence_length"],
        rounds=before["rounds"],
        max_rounds=before["max_rounds"],
    )
    labels = read_label_names(folder / "model")
    encoder = resolve_encoder(started_from(result))
    clock = measure_artefact(folder, encoder, len(labels), settings)
    now = datetime.now(UTC)
    measured = {
        "date": now.isoformat(timespec="seconds"),
        "latency_ms": clock.artefact,
        "latency_quantiles_ms": clock.quantiles,
        "dense": {"latency_ms": clock.dense, "size_bytes": result["dense"]["size_bytes"]},
        "size_bytes": (folder / "model" / "model.onnx").stat().st_size,
        "latency_settings": asdict(settings) | {"spread": clock.spread},
        "machine": describe_machine(settings.threads),
    }
    path = folder / "measurements" / f"{now:%Y%m%dT%H%M%S}.json"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(measured, indent=1) + "\n")
    return path, measured
