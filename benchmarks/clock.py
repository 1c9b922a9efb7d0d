"""Latency of several models against each other, kept until one of them is newer or the machine is another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sec_rl.files import write_atomically
from sec_rl.measurement.latency import LatencySettings, LatencyStats, LatencyTarget, measure_latencies
from sec_rl.measurement.machine import describe_machine

# Per target's name and batch size (as text): the entries of `LatencyStats`.
Latencies = dict[str, dict[str, dict[str, Any]]]


def clocked(
    targets: Sequence[LatencyTarget], settings: LatencySettings, kept: Path, say: Callable[[str], None]
) -> Latencies:
    """Time the targets in one comparison, or return the figures of the last one.

    Args:
        targets: the models; all alternate with each other.
        settings: how to time.
        kept: JSON file of the figures; delete it to measure again.
        say: takes one line of progress.
    """
    asked = {"targets": [asdict(target) for target in targets], "settings": asdict(settings)}

    def measure() -> Latencies:
        say(f"timing {', '.join(target.name for target in targets)} ...")
        return {
            name: {str(batch): stats.to_dict() for batch, stats in by_batch.items()}
            for name, by_batch in measure_latencies(targets, settings).items()
        }

    if kept.is_file() and _stale(targets, kept):
        kept.unlink()
    return dict(remembered(kept, asked, settings.threads, measure))


def remembered(kept: Path, asked: Mapping[str, Any], threads: int, measure: Callable[[], Any]) -> Any:
    """Return figures of this machine from a file, or measure them anew where something else was asked for.

    Args:
        kept: JSON file of the figures.
        asked: what they follow from, JSON-ready.
        threads: that were used; times of another machine, or of other libraries, are not those of today's page.
        measure: returns them, JSON-ready.
    """
    wanted = json.loads(json.dumps({**asked, "machine": describe_machine(threads)}))
    if kept.is_file():
        content = json.loads(kept.read_text(encoding="utf-8"))
        if content["asked"] == wanted:
            return content["figures"]
    figures = measure()
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, json.dumps({"asked": wanted, "figures": figures}))
    return json.loads(json.dumps(figures))


def artefacts_ms(
    files: Mapping[str, Path], threads: int, kept: Path, say: Callable[[str], None]
) -> tuple[dict[str, float], float]:
    """Time exported models in turns at batch 32; return milliseconds by name, and the worst spread.

    Args:
        files: the models, by name.
        threads: of each.
        kept: see `clocked`.
        say: takes one line of progress.
    """
    targets = [LatencyTarget(name, "onnx", str(path)) for name, path in files.items()]
    settings = LatencySettings(batch_sizes=(32,), threads=threads, rounds=5, max_rounds=8)
    found = clocked(targets, settings, kept, say)
    return {name: p50_ms(found, name, 32) for name in files}, worst_spread(found)


def p50_ms(latencies: Latencies, name: str, batch: int) -> float:
    """Return the median latency of a target."""
    return float(latencies[name][str(batch)]["p50_ms"])


def quiet_ms(latencies: Latencies, name: str, batch: int) -> float:
    """Return the 5th percentile of a target's latency, by which runs are steered: the machine's quiet moments."""
    return LatencyStats(**latencies[name][str(batch)]).p05_ms


def worst_spread(latencies: Latencies) -> float:
    """Return the largest spread of all targets and batch sizes."""
    return max(float(stats["spread"]) for by_batch in latencies.values() for stats in by_batch.values())


def _stale(targets: Sequence[LatencyTarget], kept: Path) -> bool:
    made = kept.stat().st_mtime
    return any(Path(t.path).exists() and Path(t.path).stat().st_mtime > made for t in targets)
