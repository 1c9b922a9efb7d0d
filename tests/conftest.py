"""Every test runs without a network, without a screen, and without writing outside its temporary folder."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from benchmarks.faults.warm import Warm

# Read when a library is imported, so they stand before any test module; child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Tests that run side by side have a core each, and so has all they start: threads that wait for threads of the
# neighbour take twice the time.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if _WORKER is not None and hasattr(os, "sched_setaffinity"):
    _CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_CORES[int(_WORKER.removeprefix("gw")) % len(_CORES)]})

# Two busy cores make any deadline per example a coin toss; the same examples on every machine make a failure
# repeatable.
settings.register_profile("sec-rl", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sec-rl")


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[None]:
    """Keep what tests cache out of the user's cache."""
    with tempfile.TemporaryDirectory(prefix="sec-rl-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEC_RL_CACHE", folder)
        yield


@pytest.fixture(scope="session")
def warm() -> Iterator[tuple[Warm, Warm]]:
    """Start two processes that start runs: their libraries are loaded once for all tests."""
    with Warm() as one, Warm() as other:
        yield one, other


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that opens a connection to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            pytest.fail(f"a test tried to connect to {address[0]!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
