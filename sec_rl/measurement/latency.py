"""Latency by the clock: every model in a process of its own, taking turns.

In one process the idle threads of one library slow the other down by a factor of two to ten, and on a
shared machine a slow minute would hit one model only. So models alternate in short blocks of calls, only
one computes at a time, and the spread of the block medians says how far a figure can be trusted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from sec_rl.errors import InputError
from sec_rl.measurement.machine import usable_cores
from sec_rl.measurement.worker import TimingWorker

Kind = Literal["onnx", "torch", "torch-int8"]


@dataclass(frozen=True)
class LatencyTarget:
    """A model to time.

    Attributes:
        name: key of its figures, unique among the targets.
        kind: `onnx`: a file, through onnxruntime. `torch`: a folder (or hub id) in fp32, eager attention,
            eval and inference mode. `torch-int8`: the same with PyTorch's dynamic int8 on its linear
            layers.
        path: the file or folder.
        n_classes: outputs of the classification head (torch kinds only).
        vocabulary: token ids are drawn below it; None: the model's own vocabulary size, which for an ONNX
            file stands in the `config.json` beside it.
    """

    name: str
    kind: Kind
    path: str
    n_classes: int = 2
    vocabulary: int | None = None


@dataclass(frozen=True)
class LatencySettings:
    """How to time.

    Attributes:
        batch_sizes: texts per call.
        sequence_length: tokens per text, none of them padding.
        threads: threads of each runtime; by default every core this process may use.
        rounds: turns of each model and batch size, at least 1.
        max_rounds: turns at most, taken while a spread is above `spread_limit`.
        block_seconds: length of one turn, warm-up excluded.
        warmup: calls at the start of each turn that are not counted.
        least_calls: calls counted in a turn, however long they take.
        spread_limit: see `LatencyStats.spread`.
        timeout_seconds: longest wait for one answer of a model's process, loading included.
    """

    batch_sizes: tuple[int, ...] = (1, 32)
    sequence_length: int = 32
    threads: int = field(default_factory=usable_cores)
    rounds: int = 7
    max_rounds: int = 14
    block_seconds: float = 0.5
    warmup: int = 3
    least_calls: int = 5
    spread_limit: float = 0.1
    timeout_seconds: float = 180.0

    def __post_init__(self) -> None:
        whole = ("sequence_length", "threads", "rounds", "least_calls")
        counts = {name: getattr(self, name) for name in whole} | {"batch size": min(self.batch_sizes, default=0)}
        for name, value in counts.items():
            if value < 1:
                raise InputError(f"{name.replace('_', ' ')} is {value}; it must be at least 1.")


@dataclass(frozen=True)
class LatencyStats:
    """Latency of one model at one batch size.

    Attributes:
        p50_ms: median call in milliseconds; every turn weighs the same, however many calls it held.
        p95_ms: 95th percentile, weighted alike.
        quartiles_ms: 5th, 25th and 75th percentile, weighted alike: with the two above, the picture of all calls.
        spread: interquartile range of the turns' medians over their median; 0.1 means that the middle half
            of the turns differs by a tenth.
        n: calls that were counted.
        block_medians_ms: the median of each turn, in order; turns of the same number are neighbours in
            time.
    """

    p50_ms: float
    p95_ms: float
    quartiles_ms: tuple[float, float, float]
    spread: float
    n: int
    block_medians_ms: tuple[float, ...]

    @property
    def p05_ms(self) -> float:
        """5th percentile: what a call takes while nothing else runs beside it."""
        return self.quartiles_ms[0]

    def quantiles(self) -> dict[str, float]:
        """Return what the calls took in ms: `p05`, `p25`, `p50`, `p75` and `p95`."""
        p05, p25, p75 = self.quartiles_ms
        return {"p05": p05, "p25": p25, "p50": self.p50_ms, "p75": p75, "p95": self.p95_ms}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, one entry per attribute."""
        return asdict(self)


def summarise(blocks: Sequence[Sequence[float]]) -> LatencyStats:
    """Reduce the calls of several turns, in milliseconds, to their statistics.

    A slow turn holds fewer calls; weighing calls alike would let the fast turns outvote it.
    """
    calls = np.concatenate([np.asarray(block, np.float64) for block in blocks])
    weights = np.concatenate([np.full(len(block), 1.0 / len(block)) for block in blocks])
    places = [0.05, 0.25, 0.5, 0.75, 0.95]
    p05, p25, p50, p75, p95 = map(float, np.quantile(calls, places, weights=weights, method="inverted_cdf"))
    medians = tuple(float(np.median(block)) for block in blocks)
    return LatencyStats(p50, p95, (p05, p25, p75), relative_spread(medians), len(calls), medians)


def relative_spread(medians: Sequence[float]) -> float:
    """Return the interquartile range over the median."""
    low, middle, high = np.percentile(medians, [25, 50, 75])
    return float((high - low) / middle)


def measure_latencies(
    targets: Sequence[LatencyTarget], settings: LatencySettings
) -> dict[str, dict[int, LatencyStats]]:
    """Time models against each other.

    With the default settings two models take about 20 s.

    Args:
        targets: the models; names are unique.
        settings: how to time.

    Returns:
        per target's name and batch size, its latency.

    Raises:
        InputError: there are no targets, or two have the same name.
        MeasurementError: a model cannot be loaded, or its process died or hangs; no process is left behind.
    """
    names = [target.name for target in targets]
    if not names or len(set(names)) < len(names):
        raise InputError(f"Models to time need a name each, all different: {', '.join(names) or 'none given'}.")
    shared = {"threads": settings.threads, "sequence_length": settings.sequence_length}
    with contextlib.ExitStack() as stack:
        workers = {
            target.name: stack.enter_context(
                TimingWorker(target.name, asdict(target) | shared, timeout_seconds=settings.timeout_seconds)
            )
            for target in targets
        }
        # One after the other: two loading at once would need both models' memory and both cores.
        for worker in workers.values():
            worker.load()
        blocks = _take_turns(workers, settings)
    return {name: {batch: summarise(blocks[name, batch]) for batch in settings.batch_sizes} for name in names}


def _take_turns(
    workers: Mapping[str, TimingWorker], settings: LatencySettings
) -> dict[tuple[str, int], list[list[float]]]:
    names = list(workers)
    blocks: dict[tuple[str, int], list[list[float]]] = {
        (name, batch): [] for name in names for batch in settings.batch_sizes
    }
    for turn in range(max(settings.rounds, settings.max_rounds)):
        if turn >= settings.rounds and _steady(blocks, settings.spread_limit):
            break
        # Every other round goes backwards, so that a machine that slows down steadily favours nobody.
        order = names[::-1] if turn % 2 else names
        for batch in settings.batch_sizes:
            for name in order:
                # Caches are cold after the others' turn, hence a warm-up in each.
                block = workers[name].time(
                    batch,
                    seconds=settings.block_seconds,
                    warmup=settings.warmup,
                    least=settings.least_calls,
                )
                blocks[name, batch].append(block)
    return blocks


def _steady(blocks: Mapping[tuple[str, int], Sequence[Sequence[float]]], limit: float) -> bool:
    return all(relative_spread([float(np.median(b)) for b in turns]) <= limit for turns in blocks.values())
