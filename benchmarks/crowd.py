"""A thousand workers as the driver sees them: as many connections, messages of the real size, nobody at work.

Two cores cannot run a thousand workers. What they can run is the side that must keep up with them: the pool and its
transport are the real ones, and whoever is at the other end only waits and answers.
"""

from __future__ import annotations

import asyncio
import resource
import selectors
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sec_rl.workers.hosts import Make, Outcome, Served
from sec_rl.workers.processes import ProcessHost, ProcessHosts
from sec_rl.workers.ray_hosts import RayHost, RayHosts
from sec_rl.workers.wire import Wire


class ProcessCrowd(ProcessHosts):
    """Hosts whose workers are one process with a connection for each.

    Args:
        number: of workers.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        _allow_files(2 * number + 100)
        self._folder = tempfile.TemporaryDirectory(prefix="sec-rl-crowd-")
        address = str(Path(self._folder.name) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(number)
            self._crowd = self._context.Process(target=answer_all, args=(address, number), daemon=True)
            self._crowd.start()
            self._wires = [Wire(listener.accept()[0]) for _ in range(number)]

    def open(self, make: Make) -> ProcessHost:
        """Take one of the connections; making the object is the first question to it."""
        wire = self._wires.pop()
        wire.send(("make", (make,)))
        return _Guest(self._crowd, wire)

    def close(self) -> None:
        """End the process."""
        self._crowd.kill()
        self._crowd.join()
        for wire in self._wires:
            wire.close()
        self._folder.cleanup()


class _Guest(ProcessHost):
    """A host that shares its process."""

    def end(self) -> None:
        if not self.ended:
            self.wire.close()
            self.ended = True


def answer_all(address: str, number: int) -> None:
    """Answer questions on many connections, in the order in which they come: what the crowd's process runs."""
    _allow_files(number + 100)
    served, waiting = Served(), selectors.DefaultSelector()
    for _ in range(number):
        end = socket.socket(socket.AF_UNIX)
        end.connect(address)
        wire = Wire(end)
        waiting.register(wire, selectors.EVENT_READ)
    while waiting.get_map():
        for key, _ in waiting.select():
            there: Any = key.fileobj
            try:
                method, arguments = there.receive()
                outcome = served.make(*arguments) if method == "make" else served.call(method, arguments)
                there.send(outcome)
            except OSError:
                waiting.unregister(there)
                there.close()


class RayCrowd(RayHosts):
    """Hosts whose workers are one Ray actor that answers many at a time.

    Args:
        number: of workers.
    """

    def __init__(self, number: int) -> None:
        super().__init__("local", workers=1)
        self._actor = self._ray.remote(AsyncServed).options(num_cpus=1, max_concurrency=number).remote()

    def open(self, make: Make) -> RayHost:
        """Ask the one actor."""
        return RayHost(self._ray, self._actor, make)


class AsyncServed:
    """`Served` for many questions at a time."""

    def __init__(self) -> None:
        self._served = Served()

    async def make(self, make: Make) -> Outcome:
        """Make the object."""
        return self._served.make(make)

    async def call(self, method: str, arguments: tuple[Any, ...]) -> Outcome:
        """Call a method of it, after everybody else had their turn."""
        await asyncio.sleep(0)
        return self._served.call(method, arguments)


CROWDS: dict[str, Callable[[int], ProcessHosts | RayHosts]] = {"processes": ProcessCrowd, "Ray": RayCrowd}


def _allow_files(number: int) -> None:
    """Allow this process as many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
