"""Times of many small graphs: what an attention or feed-forward block of each width costs on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError
from sec_rl.measurement.worker import TimingWorker

# Share of the budget for finding out what more threads bring, and on how many of the dearest graphs.
_SCALE_SHARE = 0.2
_SCALE_MODELS = 4


def time_onnx_models(
    models: Sequence[bytes],
    *,
    threads: int,
    rounds: int = 5,
    budget_seconds: float = 8.0,
    timeout_seconds: float = 120.0,
) -> NDArray[np.float64]:
    """Time many small ONNX graphs in a process of their own, taking turns.

    Graphs are compared by the processor time of one thread: beside two trainings on two cores it repeated within
    2 %, while wall time with two threads, whose barriers wait for whichever thread was interrupted, was off by half.
    With more threads all times are multiplied by one factor in [1 / threads, 1]: wall time over processor time of the
    dearest graphs.

    Each round times every graph once for an equal share of what is left of the budget; the first round always runs,
    however slow the machine, and a round that would exceed the budget does not start.

    Args:
        models: serialised graphs of fixed input shapes; float inputs are fed normal noise, int64 inputs 0 and 1.
        threads: threads of onnxruntime that the times are meant for.
        rounds: turns of each graph at most, at least 1.
        budget_seconds: how long all of it may take, starting the process and loading the graphs included.
        timeout_seconds: longest wait for one answer of the process.

    Returns:
        (len(models),) milliseconds per call: the median over the rounds of each round's median.

    Raises:
        InputError: `rounds` or `threads` is below 1.
        MeasurementError: a graph cannot be loaded or run, or the process died or hangs.
    """
    if rounds < 1 or threads < 1:
        raise InputError(f"rounds is {rounds} and threads is {threads}; both must be at least 1.")
    if not models:
        return np.empty(0)
    end = time.perf_counter() + budget_seconds
    scale_end = end if threads == 1 else end - _SCALE_SHARE * budget_seconds
    with tempfile.TemporaryDirectory(prefix="sec-rl-blocks-") as folder:
        paths = [str(Path(folder) / f"{index}.onnx") for index in range(len(models))]
        for path, model in zip(paths, models, strict=True):
            Path(path).write_bytes(model)
        load = {"kind": "blocks", "threads": 1, "paths": paths}
        with TimingWorker("latency table", load, timeout_seconds=timeout_seconds) as worker:
            worker.load()
            times = _take_turns(worker, len(models), rounds=rounds, end=scale_end)
        if threads == 1:
            return times
        dearest = np.argsort(times)[-_SCALE_MODELS:]
        load = {"kind": "blocks", "threads": threads, "paths": [paths[index] for index in dearest]}
        with TimingWorker("latency table", load, timeout_seconds=timeout_seconds) as worker:
            worker.load()
            factor = _wall_ms(worker, len(dearest), end) / float(times[dearest].sum())
    # Only a neighbour on the same cores can push the factor beyond what threads can do.
    scaled: NDArray[np.float64] = times * min(max(factor, 1.0 / threads), 1.0)
    return scaled


def _take_turns(worker: TimingWorker, n_models: int, *, rounds: int, end: float) -> NDArray[np.float64]:
    medians: list[list[float]] = []
    slowest_round = 0.0
    for turn in range(rounds):
        start = time.perf_counter()
        if turn and start + slowest_round > end:
            break
        # Half of a turn is kept for its warm-up call and for what a slow call overshoots.
        seconds = max(end - start, 0.0) / (rounds - turn) / n_models / 2
        turns = [worker.time(i, seconds=seconds, warmup=1, least=2, clock="processor") for i in range(n_models)]
        medians.append([float(np.median(calls)) for calls in turns])
        slowest_round = max(slowest_round, time.perf_counter() - start)
    result: NDArray[np.float64] = np.median(np.array(medians), axis=0)
    return result


def _wall_ms(worker: TimingWorker, n_models: int, end: float) -> float:
    """Return the sum of the graphs' fastest calls: what else runs on the machine only ever adds time."""
    seconds = max(end - time.perf_counter(), 0.0) / n_models / 2
    return sum(min(worker.time(i, seconds=seconds, warmup=2, least=5)) for i in range(n_models))
