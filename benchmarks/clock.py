"""Latency of several models against each other, kept until one of them is newer or the machine is another one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    asked: dict[str, Any] = {"targets": [asdict(target) for target in targets], "settings": asdict(settings)}
    # Times of another machine, or of other libraries, are not those of the page that is written now.
    asked["machine"] = describe_machine(settings.threads)
    asked = json.loads(json.dumps(asked))
    if kept.is_file() and not _stale(targets, kept):
        content = json.loads(kept.read_text(encoding="utf-8"))
        if content["asked"] == asked:
            return dict(content["figures"])
    say(f"timing {', '.join(target.name for target in targets)} ...")
    measured = measure_latencies(targets, settings)
    figures = {
        name: {str(batch): stats.to_dict() for batch, stats in by_batch.items()}
        for name, by_batch in measured.items()
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_suffix(".new")
    aside.write_text(json.dumps({"asked": asked, "figures": figures}), encoding="utf-8")
    os.replace(aside, kept)
    loaded: Latencies = json.loads(kept.read_text(encoding="utf-8"))["figures"]
    return loaded


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
