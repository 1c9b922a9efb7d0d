"""The process that holds one model (or many small ones) and times it when asked; started by `worker`.

It reads one JSON request per line from standard input and answers each with one JSON line on standard
output: ``{"action": "load", "kind": ..}`` once, then ``{"action": "time", "argument", "seconds", "warmup",
"least", "most",
"clock"}``. It ends when standard input closes, even in the middle of a call, so that a killed
parent leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from sec_rl.measurement.timed_models import LOADERS, Run


def processor_clock() -> Callable[[], float]:
    """Return the clock of this thread's processor time, or the wall's where the former is too coarse (Windows)."""
    fine = time.get_clock_info("thread_time").resolution <= 1e-5
    return time.thread_time if fine else time.perf_counter


def timed_calls(
    run: Run,
    argument: int,
    *,
    warmup: int,
    seconds: float,
    least: int,
    most: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Call `run(argument)` for about `seconds` and return the milliseconds of each call.

    Args:
        run: what is timed.
        argument: what it is called with.
        warmup: calls before the first that counts.
        seconds: how long to repeat; warm-up excluded.
        least: calls to time even if `seconds` have passed.
        most: calls to stop at.
        clock: what single calls are timed with, in seconds; `seconds` is always wall time.
    """
    for _ in range(warmup):
        run(argument)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < most):
        before = clock()
        run(argument)
        times.append((clock() - before) * 1e3)
    return times


class _Server:
    def __init__(self) -> None:
        self._run: Run | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["action"] == "load":
            self._run = LOADERS[request["kind"]](request)
            return {}
        if self._run is None:
            raise RuntimeError("nothing is loaded")
        limits = {key: request[key] for key in ("warmup", "seconds", "least", "most")}
        clock = processor_clock() if request["clock"] == "processor" else time.perf_counter
        return {"times_ms": timed_calls(self._run, request["argument"], clock=clock, **limits)}


def _private_output() -> TextIO:
    """Keep the answers' pipe to ourselves: whatever libraries print goes to standard error."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def _read_requests(requests: queue.Queue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    # Nobody is left to answer to; a call that hangs must not keep the process alive.
    os._exit(0)


def main() -> None:
    """Serve requests until standard input closes."""
    # Ctrl-C reaches the whole process group; the parent decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _private_output()
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    server = _Server()
    while True:
        request = json.loads(requests.get())
        try:
            answer = {"ok": True, **server.answer(request)}
        # Whatever a model raises must reach the parent as a sentence, not as a dead pipe.
        except Exception as error:
            reason = str(error).strip().splitlines() or [""]
            answer = {"ok": False, "error": f"{type(error).__name__}: {reason[0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
