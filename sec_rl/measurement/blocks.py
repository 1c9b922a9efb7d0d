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


def time_onnx_models(
    models: Sequence[bytes],
    *,
    threads: int,
    rounds: int = 5,
    budget_seconds: float = 8.0,
    timeout_seconds: float = 120.0,
) -> NDArray[np.float64]:
    """Time many small ONNX graphs in one process of their own, taking turns.

    Each round times every graph once for an equal share of what is left of the budget; the first round
    always runs, however slow the machine, and a round that would exceed the budget does not start.

    Args:
        models: serialised graphs of fixed input shapes; float inputs are fed normal noise, int64 inputs 0
            and 1.
        threads: threads of onnxruntime.
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
    with tempfile.TemporaryDirectory(prefix="sec-rl-blocks-") as folder:
        paths = [Path(folder) / f"{index}.onnx" for index in range(len(models))]
        for path, model in zip(paths, models, strict=True):
            path.write_bytes(model)
        load = {"kind": "blocks", "threads": threads, "paths": [str(path) for path in paths]}
        with TimingWorker("latency table", load, timeout_seconds=timeout_seconds) as worker:
            worker.load()
            return _take_turns(worker, len(models), rounds=rounds, end=end)


def _take_turns(worker: TimingWorker, n_models: int, *, rounds: int, end: float) -> NDArray[np.float64]:
    medians: list[list[float]] = []
    slowest_round = 0.0
    for turn in range(rounds):
        start = time.perf_counter()
        if turn and start + slowest_round > end:
            break
        # Half of a turn is kept for its warm-up calls and for what a slow call overshoots.
        seconds = max(end - start, 0.0) / (rounds - turn) / n_models / 2
        medians.append(
            [float(np.median(worker.time(i, seconds=seconds, warmup=2, least=3))) for i in range(n_models)]
        )
        slowest_round = max(slowest_round, time.perf_counter() - start)
    result: NDArray[np.float64] = np.median(np.array(medians), axis=0)
    return result
