"""The seam: an object on a worker that is asked one thing at a time, and that may die or hang over it."""

from __future__ import annotations

import pickle
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from sec_rl.errors import SecRlError

# Makes the object that lives on a worker; travels there, so it must be picklable, as every argument must be.
Make = Callable[[], object]


class WorkerLostError(SecRlError):
    """A worker died, or did not answer in time."""


class RemoteError(Exception):
    """What went wrong on a worker, as text: cause of the error that is raised here."""


@dataclass(frozen=True)
class Outcome:
    """How a question to a worker ended.

    Attributes:
        value: the answer.
        error: what was raised instead.
        trace: where on the worker.
        lost: whether the worker is gone, which is then the error.
    """

    value: Any = None
    error: Exception | None = None
    trace: str = ""
    lost: bool = False

    def unwrap(self) -> Any:
        """Return the answer.

        Raises:
            Exception: what was raised on the worker.
        """
        if self.error is not None:
            raise self.error from (RemoteError(f"\n{self.trace}") if self.trace else None)
        return self.value


class Host(Protocol):
    """A worker that holds one object."""

    def ask(self, method: str, *arguments: Any) -> None:
        """Call a method of the object. It must have answered what it was asked before.

        Raises:
            WorkerLostError: the worker is gone.
        """

    def answer(self) -> Outcome:
        """Return what the worker answered, once `Hosts.wait` has named it."""

    def end(self) -> None:
        """End the worker, whatever it is doing, with all that it started; harmless where it is gone."""


class Hosts(ABC):
    """Workers of one kind. A context manager: closing it ends them all."""

    @abstractmethod
    def open(self, make: Make) -> Host:
        """Start a worker; its first answer, due at once, is empty and says that its object is made."""

    @abstractmethod
    def wait(self, hosts: Sequence[Host], timeout_seconds: float) -> list[Host]:
        """Return those that have an answer or are gone; none after the time-out."""

    @abstractmethod
    def close(self) -> None:
        """End every worker; harmless when called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Served:
    """The worker's side: the object, and every outcome as something that can travel."""

    def __init__(self) -> None:
        self._held: Any = None

    def make(self, make: Make) -> Outcome:
        """Make the object."""

        def keep() -> None:
            self._held = make()

        return _outcome(keep)

    def call(self, method: str, arguments: Sequence[Any]) -> Outcome:
        """Call a method of it."""
        return _outcome(lambda: getattr(self._held, method)(*arguments))


def lost(reason: str) -> Outcome:
    """Return the outcome of a question whose worker is gone."""
    return Outcome(error=WorkerLostError(reason), lost=True)


def replies(hosts: Hosts, deadlines: Mapping[Host, float]) -> list[tuple[Host, Outcome]]:
    """Wait until something happens, and return what did. Workers that are lost or late are ended.

    Args:
        hosts: the workers' kind.
        deadlines: every worker that was asked something, and until when it may answer, by `time.monotonic`.
    """
    if not deadlines:
        return []
    patience = min(deadlines.values()) - time.monotonic()
    ready = hosts.wait(list(deadlines), max(0.0, patience))
    found = [(host, host.answer()) for host in ready]
    now = time.monotonic()
    late = [host for host, deadline in deadlines.items() if deadline <= now and host not in ready]
    found += [(host, lost("it did not answer in time")) for host in late]
    for host, outcome in found:
        if outcome.lost:
            host.end()
    return found


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(call())
    except Exception as error:
        return Outcome(error=_travels(error), trace=traceback.format_exc())


def _travels(error: Exception) -> Exception:
    """Return an error that can be sent: some can be pickled and not be read back."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
