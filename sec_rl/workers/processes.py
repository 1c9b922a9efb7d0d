"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from typing import Any

from sec_rl.workers.hosts import Host, Hosts, Make, Outcome, Served, WorkerLostError, lost
from sec_rl.workers.threads import thread_variables
from sec_rl.workers.wire import Wire

_DEAD = "its process died"


class ProcessHost:
    """See `Host`.

    Args:
        process: runs `serve`, or something else at the wire's other end.
        wire: to it.
    """

    def __init__(self, process: multiprocessing.process.BaseProcess, wire: Wire) -> None:
        self._process, self.wire = process, wire
        self.ended = False

    @property
    def pid(self) -> int | None:
        """Number of the process."""
        return self._process.pid

    def ask(self, method: str, *arguments: Any) -> None:
        """Call a method of the object, see `Host`."""
        try:
            self.wire.send((method, arguments))
        except OSError as error:
            raise WorkerLostError(_DEAD) from error

    def answer(self) -> Outcome:
        """Return the answer, see `Host`."""
        try:
            outcome: Outcome = self.wire.receive()
        except OSError:
            return lost(self._death())
        return outcome

    def end(self) -> None:
        """Kill the process and all that it started, see `Host`."""
        if self.ended or self._process.pid is None:
            return
        # It leads a group of its own, unless it is so young that it has not got there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self.wire.close()
        self.ended = True

    def _death(self) -> str:
        self._process.join(timeout=1.0)
        code = self._process.exitcode
        if code is None:
            return "its process stopped in the middle of an answer"
        return f"{_DEAD} of signal {-code}" if code < 0 else f"{_DEAD} with exit code {code}"


class ProcessHosts(Hosts):
    """See `Hosts`.

    They are spawned: forked ones would inherit the state of torch's threads.

    Args:
        threads: of the libraries in each; None: as in this process.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._variables = {} if threads is None else thread_variables(threads)
        self._opened: list[ProcessHost] = []

    def open(self, make: Make) -> ProcessHost:
        """Start a process, see `Hosts`."""
        here, there = socket.socketpair()
        with there, _environment(self._variables):
            process = self._context.Process(target=serve, args=(there, make), daemon=True)
            process.start()
        host = ProcessHost(process, Wire(here))
        self._opened = [other for other in self._opened if not other.ended] + [host]
        return host

    def wait(self, hosts: Sequence[Host], timeout_seconds: float) -> list[Host]:
        """Return those that have an answer or are gone, see `Hosts`."""
        by_number = {host.wire.fileno(): host for host in hosts if isinstance(host, ProcessHost)}
        ready = connection.wait(list(by_number), timeout_seconds)
        return [by_number[number] for number in ready if isinstance(number, int)]

    def close(self) -> None:
        """End every worker, see `Hosts`."""
        for host in self._opened:
            host.end()


def serve(end: socket.socket, make: Make) -> None:
    """Hold an object and answer until the other end closes: what a worker process runs."""
    # Ctrl-C is for the parent, which decides when a worker ends; and a group can be ended as a whole.
    os.setsid()
    wire, questions = Wire(end, pause_seconds=None), queue.Queue[Any]()
    threading.Thread(target=_read, args=(wire, questions), daemon=True).start()
    served = Served()
    wire.send(served.make(make))
    while True:
        wire.send(served.call(*questions.get()))


def _read(wire: Wire, questions: queue.Queue[Any]) -> None:
    with contextlib.suppress(OSError):
        while True:
            questions.put(wire.receive())
    # Nobody is left to answer to; work that goes on, and what it started, must not outlive whoever wanted it.
    os.killpg(0, signal.SIGKILL)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
