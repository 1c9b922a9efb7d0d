"""The task pool: jobs in, results in order out, whatever happens to the workers in between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sec_rl.workers.hosts import Host, Hosts, Outcome, WorkerLostError, replies

Result = TypeVar("Result")

ATTEMPTS = 3
# To load libraries on a slow disk, or to wait for a place on a busy cluster.
START_SECONDS = 300.0


@dataclass(frozen=True)
class Job:
    """Something to do.

    Attributes:
        key: names it, once in a list.
        seed: decides everything random in it.
        argument: what it is about, picklable.
    """

    key: str
    seed: int
    argument: Any = None


def run_jobs(
    hosts: Hosts,
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    timeout_seconds: float,
    on_done: Callable[[Job, Result], None] | None = None,
) -> list[Result]:
    """Do every job on some worker.

    Which worker does a job, how many there are and how often one was lost changes no result, as long as `work` takes
    whatever is random from its job. A job whose worker dies, or does not answer in time, is done again by another
    one, `ATTEMPTS` times in all. When a job fails, those that are being done are finished before the error is raised.

    Args:
        hosts: where workers come from; the caller closes it.
        work: does a job; a function of a module, or a `functools.partial` of one.
        jobs: what to do; they are begun in this order.
        workers: at most as many at a time.
        timeout_seconds: longest a job may take.
        on_done: called after each job, in the order in which they end.

    Returns:
        the results in the order of the jobs.

    Raises:
        WorkerLostError: a job's workers were lost `ATTEMPTS` times, or no worker starts.
        Exception: whatever `work` raised.
    """
    if len({job.key for job in jobs}) < len(jobs):
        raise ValueError("Two jobs have the same key.")
    return _Pool(hosts, work, jobs, workers, timeout_seconds, on_done or (lambda *_: None)).run()


class _Bench:
    """What a worker of the pool holds."""

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self._work = work

    def do(self, job: Job) -> Any:
        return self._work(job)


@dataclass(frozen=True)
class _Busy:
    """What a worker is at: a job by its number, or, without one, its start."""

    number: int | None
    deadline: float


class _Pool:
    def __init__(
        self,
        hosts: Hosts,
        work: Callable[[Job], Any],
        jobs: Sequence[Job],
        workers: int,
        timeout_seconds: float,
        on_done: Callable[[Job, Any], None],
    ) -> None:
        self._hosts, self._make, self._jobs = hosts, partial(_Bench, work), jobs
        self._workers, self._timeout_seconds, self._on_done = workers, timeout_seconds, on_done
        self._waiting = deque(range(len(jobs)))
        self._attempts = [0] * len(jobs)
        self._busy: dict[Host, _Busy] = {}
        self._idle: list[Host] = []
        self._failed_starts = 0
        self._results: dict[int, Any] = {}
        self._failure: Outcome | None = None

    def run(self) -> list[Any]:
        try:
            while self._waiting or self._busy_with_jobs():
                self._hand_out()
                self._open()
                for host, outcome in replies(self._hosts, {host: at.deadline for host, at in self._busy.items()}):
                    self._take(host, self._busy.pop(host), outcome)
        finally:
            for host in (*self._busy, *self._idle):
                host.end()
        if self._failure is not None:
            self._failure.unwrap()
        return [self._results[number] for number in range(len(self._jobs))]

    def _busy_with_jobs(self) -> bool:
        return any(at.number is not None for at in self._busy.values())

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            host, number = self._idle.pop(), self._waiting.popleft()
            self._busy[host] = _Busy(number, time.monotonic() + self._timeout_seconds)
            try:
                host.ask("do", self._jobs[number])
            except WorkerLostError as error:
                host.end()
                self._take(host, self._busy.pop(host), Outcome(error=error, lost=True))

    def _open(self) -> None:
        """Start workers for the jobs that wait, as far as there may be more."""
        starting = sum(at.number is None for at in self._busy.values())
        room = self._workers - len(self._busy) - len(self._idle)
        for _ in range(min(room, len(self._waiting) - starting)):
            self._busy[self._hosts.open(self._make)] = _Busy(None, time.monotonic() + START_SECONDS)

    def _take(self, host: Host, at: _Busy, outcome: Outcome) -> None:
        if outcome.lost:
            self._lose(at, outcome)
            return
        self._failed_starts = 0
        if outcome.error is not None:
            host.end()
            self._fail(outcome)
            return
        self._idle.append(host)
        if at.number is not None:
            self._results[at.number] = outcome.value
            self._on_done(self._jobs[at.number], outcome.value)

    def _lose(self, at: _Busy, outcome: Outcome) -> None:
        """Let the job be done elsewhere, or give up."""
        if at.number is None:
            self._failed_starts += 1
            if self._failed_starts == ATTEMPTS:
                self._fail(Outcome(error=WorkerLostError(f"No worker starts: {outcome.error}.")))
            return
        self._attempts[at.number] += 1
        if self._attempts[at.number] == ATTEMPTS:
            key = self._jobs[at.number].key
            self._fail(Outcome(error=WorkerLostError(f"{key}: {ATTEMPTS} workers were lost: {outcome.error}.")))
        elif self._failure is None:
            self._waiting.appendleft(at.number)

    def _fail(self, outcome: Outcome) -> None:
        self._failure = self._failure or outcome
        self._waiting.clear()
