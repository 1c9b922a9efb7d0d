"""The parent's end of a timing process: requests, answers, time-outs, no orphans."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any

from sec_rl.errors import SecRlError


class MeasurementError(SecRlError):
    """A model could not be timed."""


class TimingWorker:
    """A process of its own that holds a model; a context manager that always ends it."""

    def __init__(self, name: str, load: dict[str, Any], timeout_s: float = 180.0) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sec_rl.measurement.latency_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._ask({"action": "load", **load})
        except MeasurementError:
            self.close()
            raise

    def time(
        self, argument: int, *, seconds: float, warmup: int = 3, least: int = 5, most: int = 10_000
    ) -> list[float]:
        """Return the milliseconds of single calls, for about `seconds`.

        Args:
            argument: batch size, or the number of the block.
            seconds: how long to repeat.
            warmup: calls that are not counted; `least` and `most` bound those that are.
        """
        request = {"action": "time", "argument": argument, "seconds": seconds}
        answer = self._ask(request | {"warmup": warmup, "least": least, "most": most})
        return [float(value) for value in answer["times_ms"]]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> TimingWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put("")

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise MeasurementError(f"{self.name}: the timing process has no input")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=self._timeout_s)
        except queue.Empty as error:
            self._process.kill()
            raise MeasurementError(
                f"{self.name}: no answer from the timing process within {self._timeout_s:g} s."
            ) from error
        except BrokenPipeError as error:
            raise MeasurementError(f"{self.name}: the timing process has died.") from error
        if not line:
            raise MeasurementError(f"{self.name}: the timing process died (exit {self._process.wait()}).")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise MeasurementError(f"{self.name}: {answer['error']}")
        return answer
