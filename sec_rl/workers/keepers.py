"""Workers that keep an object each for a long time, and are replaced when they are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sec_rl.workers.hosts import Host, Hosts, Make, Outcome, WorkerLostError, lost, replies
from sec_rl.workers.jobs import ATTEMPTS, START_SECONDS


class Keepers:
    """A fixed number of workers, each of which keeps one object.

    A question holds whatever a new object would need to answer it as the old one would have: then a lost worker costs
    time, and changes nothing.

    Args:
        hosts: where workers come from; the caller closes it.
        makes: one per worker, which makes its object.
    """

    def __init__(self, hosts: Hosts, makes: Sequence[Make]) -> None:
        self._hosts, self._makes = hosts, makes
        self._kept: list[Host | None] = [None] * len(makes)

    def ask(
        self, method: str, arguments: Sequence[tuple[Any, ...]], seconds: Callable[[int, bool], float]
    ) -> list[Any]:
        """Ask every worker, and a new one in place of each that dies or is late.

        Args:
            method: of the objects.
            arguments: for each worker.
            seconds: how long a worker may take: its number, whether its object is new -> seconds.

        Returns:
            the answers in the order of the workers.

        Raises:
            WorkerLostError: `ATTEMPTS` workers were lost over one question.
            Exception: whatever the method raised.
        """
        round_ = _Round(self._hosts, self._makes, self._kept, method, arguments, seconds)
        try:
            return round_.run()
        finally:
            # After an error somebody may still be at work on a question that nobody asks any more.
            for host, (number, _) in round_.asked.items():
                host.end()
                self._kept[number] = None


@dataclass
class _Round:
    """One question to all."""

    hosts: Hosts
    makes: Sequence[Make]
    kept: list[Host | None]
    method: str
    arguments: Sequence[tuple[Any, ...]]
    seconds: Callable[[int, bool], float]

    def __post_init__(self) -> None:
        # Who was asked or is starting: number, and until when.
        self.asked: dict[Host, tuple[int, float]] = {}
        self._starting: set[Host] = set()
        self._lost = [0] * len(self.kept)
        self._answers: dict[int, Any] = {}

    def run(self) -> list[Any]:
        for number, host in enumerate(self.kept):
            if host is None:
                self._start(number)
            else:
                self._ask(host, number, new=False)
        while len(self._answers) < len(self.kept):
            for host, outcome in replies(self.hosts, {host: until for host, (_, until) in self.asked.items()}):
                self._take(host, outcome)
        return [self._answers[number] for number in range(len(self.kept))]

    def _start(self, number: int) -> None:
        host = self.kept[number] = self.hosts.open(self.makes[number])
        self._starting.add(host)
        self.asked[host] = (number, time.monotonic() + START_SECONDS)

    def _ask(self, host: Host, number: int, *, new: bool) -> None:
        self.asked[host] = (number, time.monotonic() + self.seconds(number, new))
        try:
            host.ask(self.method, *self.arguments[number])
        except WorkerLostError as error:
            host.end()
            self._take(host, lost(str(error)))

    def _take(self, host: Host, outcome: Outcome) -> None:
        number, _ = self.asked.pop(host)
        started = host in self._starting
        self._starting.discard(host)
        if outcome.lost:
            self.kept[number] = None
            self._lost[number] += 1
            if self._lost[number] == ATTEMPTS:
                raise WorkerLostError(f"{ATTEMPTS} workers were lost over one step: {outcome.error}.")
            self._start(number)
            return
        value = outcome.unwrap()
        if started:
            self._ask(host, number, new=True)
        else:
            self._answers[number] = value
