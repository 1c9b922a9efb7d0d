"""`sec-rl` in forks of a process that has loaded every library: a run that is killed again and again pays no imports.

``python -m benchmarks.faults.warm`` reads orders and forks. It computes nothing itself, so it has one thread, and a
fork of it is like a process that has just started.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any


class WarmRun:
    """One command, in a process of its own.

    Attributes:
        pid: of the process.
        processor_seconds: that it used in all, those of processes that it waited for included; 0 before it has ended.
    """

    def __init__(self, server: subprocess.Popen[str], pid: int, said: Path) -> None:
        self._server, self.pid, self._said = server, pid, said
        self._code: int | None = None
        self.processor_seconds = 0.0

    def poll(self) -> int | None:
        """Return the exit code, minus the signal that ended it; None while it runs."""
        assert self._server.stdout is not None  # it is a pipe
        if self._code is None and select.select([self._server.stdout], [], [], 0.0)[0]:
            self.wait()
        return self._code

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        if self._code is None:
            ended = _read(self._server)
            self._code, self.processor_seconds = int(ended["code"]), float(ended["processor_seconds"])
        return self._code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def said(self) -> str:
        """Return what it wrote to standard error."""
        return self._said.read_text(encoding="utf-8").strip()


class Warm:
    """Starts commands, one at a time; a context."""

    def __enter__(self) -> Warm:
        words = [sys.executable, "-m", "benchmarks.faults.warm"]
        self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _read(self._server)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.kill()
        self._server.wait()
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                stream.close()

    def start(
        self, words: Sequence[str], said: Path, *, before: str = "", environment: Mapping[str, str] | None = None
    ) -> WarmRun:
        """Start `sec-rl`.

        Args:
            words: its arguments.
            said: file to which its standard error goes.
            before: lines of Python that prepare a fault.
            environment: variables that are added; libraries have read theirs already.
        """
        assert self._server.stdin is not None  # it is a pipe
        order = {"words": list(words), "said": str(said), "before": before, "environment": dict(environment or {})}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return WarmRun(self._server, int(_read(self._server)["pid"]), said)


def _read(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdout is not None  # it is a pipe
    line = server.stdout.readline()
    if not line:
        raise RuntimeError("The process that starts runs has died.")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _serve() -> None:
    """Load, and fork for every order."""
    import datasets  # noqa: F401
    import onnxruntime  # noqa: F401
    import transformers  # noqa: F401

    import sec_rl.agents.run
    from sec_rl.agents import run_state
    from sec_rl.cli import main

    del sec_rl
    # A state after every segment instead of one a minute.
    run_state.SAVE_SECONDS = 0.0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _work(main, order)
        print(json.dumps({"pid": child}), flush=True)
        _, status, used = os.wait4(child, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "processor_seconds": used.ru_utime + used.ru_stime}
        print(json.dumps(answer), flush=True)


def _work(main: Any, order: dict[str, Any]) -> None:
    """Do an order in this process, and end it."""
    quiet = os.open(os.devnull, os.O_RDWR)
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for ours, theirs in ((quiet, 0), (quiet, 1), (said, 2)):
        os.dup2(ours, theirs)
    # A shell that starts something in the background lets it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["sec-rl", *order["words"]]
    os.environ.update(order["environment"])
    code: object = 0
    try:
        exec(order["before"], {})
        main()
    except SystemExit as stopped:
        code = stopped.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    _serve()
