"""Times of many small graphs: what an attention or feed-forward block of each width costs on this
machine."""

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
    rounds: int = 10,
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
        (len(models),) milliseconds of each graph's fastest call. What else runs on the machine only ever
        adds time, and adds most to the small blocks: beside a training, medians made the curves flatter and
        differed from one measurement to the next by a factor of 1.4, the fastest calls by 1.1.

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
    smallest = np.full(n_models, np.inf)
    slowest_round = 0.0
    for turn in range(rounds):
        start = time.perf_counter()
        if turn and start + slowest_round > end:
            break
        # Half of a turn is kept for its warm-up call and for what a slow call overshoots.
        seconds = max(end - start, 0.0) / (rounds - turn) / n_models / 2
        for index in range(n_models):
            calls = worker.time(index, seconds=seconds, warmup=1, least=2)
            smallest[index] = min(smallest[index], *calls)
        slowest_round = max(slowest_round, time.perf_counter() - start)
    return smallest
