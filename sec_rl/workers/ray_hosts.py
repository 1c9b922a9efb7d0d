"""Workers that are actors of a Ray cluster; needs the extra `ray`."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from sec_rl.errors import InputError
from sec_rl.workers.hosts import Host, Hosts, Make, Outcome, Served, WorkerLostError, lost
from sec_rl.workers.threads import thread_variables

# Address that asks for a cluster of this machine alone.
LOCAL = "local"
# Answers are kilobytes.
_STORE_BYTES = 100 * 2**20
_ANSWER_SECONDS = 10.0


class RayHost:
    """See `Host`.

    Args:
        ray: the library.
        actor: holds a `Served`.
        make: makes its object.
    """

    def __init__(self, ray: ModuleType, actor: Any, make: Make) -> None:
        self._ray, self.actor = ray, actor
        self.ended = False
        self.reference = actor.make.remote(make)

    def ask(self, method: str, *arguments: Any) -> None:
        """Call a method of the object, see `Host`; that the worker is gone shows in its answer."""
        self.reference = self.actor.call.remote(method, arguments)

    def answer(self) -> Outcome:
        """Return the answer, see `Host`."""
        try:
            outcome: Outcome = self._ray.get(self.reference)
        except self._ray.exceptions.RayError as error:
            # The first lines name class, process and node; they are for logs.
            return lost(f"its Ray worker died ({type(error).__name__})")
        return outcome

    def end(self) -> None:
        """Kill the actor, see `Host`; one that was stopped goes after some seconds, by its node's daemon."""
        if not self.ended:
            self._ray.kill(self.actor)
            self.ended = True


class RayHosts(Hosts):
    """See `Hosts`.

    Args:
        address: of a running cluster, as `ray.init` takes it; `local`: start one here, on loopback, and end it after.
        workers: at most as many at a time.
        threads: of the libraries in each; as many processors of the cluster are reserved for it.

    Raises:
        InputError: no cluster answers, or it has too few processors.
        WorkerLostError: a cluster does not start here.
    """

    def __init__(self, address: str, *, workers: int, threads: int = 1) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._opened: list[RayHost] = []
        self._ray = _import_ray(local=address == LOCAL)
        self._started = not self._ray.is_initialized()
        try:
            if self._started:
                self._connect(address, workers * threads)
            self._check_size(address, workers, threads)
        except BaseException:
            self.close()
            raise
        options = {"num_cpus": threads, "runtime_env": {"env_vars": thread_variables(threads)}}
        self._actors = self._ray.remote(Served).options(**options)

    def open(self, make: Make) -> RayHost:
        """Start an actor, see `Hosts`."""
        host = RayHost(self._ray, self._actors.remote(), partial(_made_in, os.getcwd(), make))
        self._opened = [other for other in self._opened if not other.ended] + [host]
        return host

    def wait(self, hosts: Sequence[Host], timeout_seconds: float) -> list[Host]:
        """Return those that have an answer or are gone, see `Hosts`."""
        waiting = {host.reference: host for host in hosts if isinstance(host, RayHost)}
        references = list(waiting)
        ready, others = self._ray.wait(references, timeout=timeout_seconds)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [waiting[reference] for reference in ready]

    def close(self) -> None:
        """End every worker, and a cluster that was started here, see `Hosts`."""
        if self._started:
            self._ray.shutdown()
            self._started = False
        else:
            for host in self._opened:
                host.end()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _connect(self, address: str, processors: int) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        with _own_handlers():
            if address == LOCAL:
                self._start(processors, quiet)
                return
            _check_answers(address)
            try:
                self._ray.init(address, **quiet)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(f"No Ray cluster answers at {address!r}.") from error

    def _start(self, processors: int, quiet: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sec-rl-ray-", ignore_cleanup_errors=True)
        try:
            self._ray.init(
                LOCAL,
                num_cpus=processors,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _temp_dir=self._folder.name,
                **quiet,
            )
        # Ray raises no class of its own here, nor any other but the plainest.
        except Exception as error:
            raise WorkerLostError(f"A Ray cluster does not start here: {str(error).splitlines()[0]}") from error
        self._check_loopback()

    def _check_size(self, address: str, workers: int, threads: int) -> None:
        there = int(self._ray.cluster_resources().get("CPU", 0))
        if there < workers * threads:
            raise InputError(
                f"{workers} workers of {threads} threads need {workers * threads} processors; "
                f"the Ray cluster {address!r} has {there}."
            )

    def _check_loopback(self) -> None:
        listens_on = self._ray.util.get_node_ip_address()
        if listens_on not in ("127.0.0.1", "::1"):
            raise InputError(
                f"Ray would listen on {listens_on}, since it was imported before sec-rl could tell it not to."
            )


def _check_answers(address: str) -> None:
    """Find out in a moment that nobody listens at HOST:PORT; Ray tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"No Ray cluster answers at {address!r}.") from error


def _made_in(folder: str, make: Make) -> object:
    """Make an object in this program's folder, where the worker's node has it: paths are relative to it."""
    with contextlib.suppress(OSError):
        os.chdir(folder)
    return make()


def _import_ray(*, local: bool) -> ModuleType:
    # Both are read when Ray is imported. Without the second, its daemons listen on every network of a machine.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if local and "ray" not in sys.modules:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if "RAY_AUTH_MODE" not in os.environ:
            # Other users of this machine reach loopback, too. Ray would keep its token in the home folder.
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    return importlib.import_module("ray")


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this program's answer to SIGTERM: Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
