"""The parent's end of a timing process: requests, answers, time-outs, no orphans."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import sec_rl
from sec_rl.measurement.errors import MeasurementError
from sec_rl.workers.threads import thread_variables

_GRACE_SECONDS = 2.0


class TimingWorker:
    """A process of its own that holds a model; a context manager that always ends it."""

    def __init__(self, name: str, load: Mapping[str, Any], *, timeout_seconds: float) -> None:
        """Start the process; it loads nothing before `load` is called.

        Args:
            name: what messages call the model.
            load: the request that loads it, without its action: `kind`, `threads` and what that kind needs.
            timeout_seconds: longest wait for one answer, loading included.
        """
        self.name = name
        self._load = dict(load)
        self._timeout_seconds = timeout_seconds
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            # -P: a file of the user's working directory must not stand in for a library.
            [sys.executable, "-P", "-m", "sec_rl.measurement.latency_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            encoding="utf-8",
            env=_environment(int(load["threads"])),
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def load(self) -> None:
        """Load the model.

        Raises:
            MeasurementError: it cannot be loaded, or the process died or hangs.
        """
        self._ask({"action": "load", **self._load})

    def time(
        self,
        argument: int,
        *,
        seconds: float,
        warmup: int = 3,
        least: int = 5,
        most: int = 10_000,
        clock: Literal["wall", "processor"] = "wall",
    ) -> list[float]:
        """Return the milliseconds of single calls.

        Args:
            argument: batch size, or the number of a block.
            seconds: how long to repeat, warm-up excluded.
            warmup: calls that are not counted.
            least: calls to time even if `seconds` have passed.
            most: calls to stop at.
            clock: `processor` counts the calling thread's own time, which other programs hardly change; it only
                means something for a model loaded with one thread.

        Raises:
            MeasurementError: the call fails, or the process died or hangs.
        """
        request = {"action": "time", "argument": argument, "seconds": seconds, "clock": clock}
        answer = self._ask(request | {"warmup": warmup, "least": least, "most": most})
        return [float(value) for value in answer["times_ms"]]

    def close(self) -> None:
        """End the process; harmless when it has ended already."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join(timeout=_GRACE_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
        self._messages.close()

    def __enter__(self) -> TimingWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put("")

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdin.closed:
            raise MeasurementError(f"{self.name}: the timing process has ended.")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=self._timeout_seconds)
        except BrokenPipeError as error:
            raise self._death() from error
        except queue.Empty as error:
            self._process.kill()
            raise MeasurementError(
                f"{self.name}: no answer from the timing process within {self._timeout_seconds:g} s; it was ended."
            ) from error
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise MeasurementError(f"{self.name}: {answer['error']}")
        return answer

    def _death(self) -> MeasurementError:
        code = self._process.wait()
        self._messages.seek(0)
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = f": {lines[-1]}" if lines else ""
        return MeasurementError(f"{self.name}: the timing process died with {how}{last}.")


def _environment(threads: int) -> dict[str, str]:
    # The package may be used from a checkout that is not installed; -P hides the working directory.
    checkout = str(Path(sec_rl.__file__).parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    paths = checkout if not inherited else os.pathsep.join([checkout, inherited])
    return {**os.environ, **thread_variables(threads), "PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"}
