"""Latency by the clock: every model in a process of its own, taking turns.

In one process the idle threads of one library slow the other down by a factor of two to ten, and on a shared machine a
slow minute would hit one model only. So models alternate in short blocks; a figure is the median over all its calls,
and the spread of the block medians says how far to trust it.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from sec_rl.measurement.worker import TimingWorker


@dataclass(frozen=True)
class LatencyTarget:
    """A model to time.

    Attributes:
        name: key of its figures.
        kind: `onnx` file through onnxruntime; `torch` folder in fp32 with eager attention; `torch-int8` the same
            with PyTorch's dynamic int8.
        path: the file or folder (or hub id).
        vocabulary: token ids are drawn below it.
        n_classes: outputs of the classifier (torch kinds only).
    """

    name: str
    kind: Literal["onnx", "torch", "torch-int8"]
    path: str
    vocabulary: int
    n_classes: int = 2


@dataclass(frozen=True)
class LatencySettings:
    """How to time.

    Attributes:
        threads: threads of the runtime.
        batch_sizes: texts per call.
        sequence_length: tokens per text.
        rounds: turns of every model; `max_rounds` when the spread stays above `spread_limit`.
        block_seconds: length of one turn.
        spread_limit: interquartile range of the block medians over their median.
    """

    threads: int
    batch_sizes: tuple[int, ...] = (1, 32)
    sequence_length: int = 32
    rounds: int = 7
    max_rounds: int = 14
    block_seconds: float = 0.5
    spread_limit: float = 0.1


@dataclass(frozen=True)
class LatencyStats:
    """Latency of one model at one batch size.

    Attributes:
        p50: median call in ms; `p95`: 95th percentile in ms.
        spread: interquartile range of the block medians over their median.
        calls: how many calls were timed.
    """

    p50: float
    p95: float
    spread: float
    calls: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)


def measure_latencies(
    targets: Sequence[LatencyTarget], settings: LatencySettings
) -> dict[str, dict[int, LatencyStats]]:
    """Time models against each other.

    Returns:
        per target's name and batch size, its latency.

    Raises:
        MeasurementError: a model cannot be loaded, or its process dies or hangs.
    """
    with contextlib.ExitStack() as stack:
        workers = {}
        for target in targets:
            load = asdict(target) | {"threads": settings.threads, "sequence_length": settings.sequence_length}
            workers[target.name] = stack.enter_context(TimingWorker(target.name, load))
        blocks: dict[tuple[str, int], list[list[float]]] = {
            (target.name, batch): [] for target in targets for batch in settings.batch_sizes
        }
        for turn in range(settings.max_rounds):
            worst = max((_spread(b) for b in blocks.values() if len(b) > 1), default=np.inf)
            if turn >= settings.rounds and worst <= settings.spread_limit:
                break
            for (name, batch), done in blocks.items():
                # A first call after a pause pays for cold caches, so every turn warms up.
                done.append(workers[name].time(batch, seconds=settings.block_seconds))
    result: dict[str, dict[int, LatencyStats]] = {target.name: {} for target in targets}
    for (name, batch), done in blocks.items():
        calls = np.concatenate(done)
        p50, p95 = np.percentile(calls, [50, 95])
        result[name][batch] = LatencyStats(float(p50), float(p95), _spread(done), len(calls))
    return result


def time_blocks(
    models: Sequence[onnx.ModelProto], *, threads: int, budget_seconds: float = 8.0, rounds: int = 5
) -> NDArray[np.float64]:
    """Time many small graphs with one float input `hidden` in one process, taking turns.

    Args:
        models: the graphs; their input has a fixed shape.
        threads: threads of onnxruntime.
        budget_seconds: about how long all of it may take, loading excluded.
        rounds: turns of every graph.

    Returns:
        (models,) milliseconds per call: the smallest of the turns' medians, which a busy neighbour disturbs least.
    """
    encoded = [base64.b64encode(model.SerializeToString()).decode() for model in models]
    share = budget_seconds / (rounds * len(models))
    medians = np.empty((rounds, len(models)))
    with TimingWorker("latency table", {"kind": "blocks", "models": encoded, "threads": threads}) as worker:
        deadline = time.monotonic() + 2 * budget_seconds
        for turn in range(rounds):
            for index in range(len(models)):
                calls = worker.time(index, seconds=share, warmup=2, least=3)
                medians[turn, index] = np.median(calls)
            if time.monotonic() > deadline:
                return medians[: turn + 1].min(axis=0)
    return medians.min(axis=0)


def _spread(blocks: Sequence[Sequence[float]]) -> float:
    medians = [float(np.median(block)) for block in blocks]
    low, middle, high = np.percentile(medians, [25, 50, 75])
    return float((high - low) / middle)
