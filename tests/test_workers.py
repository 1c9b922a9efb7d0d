"""The task pool: the same results whatever happens to the workers, and nobody left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.children import is_running
from sec_rl.errors import InputError, MissingDependencyError
from sec_rl.workers import Crew, Hosts, Job, WorkerLostError, run_jobs
from sec_rl.workers.ray_hosts import _check_answers
from tests.made_up_work import draw, fault_then_draw, refuse, refuse_unreadably
from tests.processes import children_of, wait_until

ROOT = Path(__file__).parents[1]
# A worker that is stopped is noticed after this long.
TIMEOUT_SECONDS = 2.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Hosts]:
    """Start one Ray cluster for all tests here: it takes some seconds."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed")
    with Crew(2, 1, "local").open() as hosts:
        yield hosts


@pytest.fixture(params=["processes", "ray"])
def hosts(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Open workers of either kind."""
    if request.param == "ray":
        yield request.getfixturevalue("cluster")
        return
    with Crew(2, 1).open() as opened:
        yield opened


def plain(n: int) -> list[Job]:
    """Return jobs to which nothing happens."""
    return [Job(f"job-{i}", seed=100 + i) for i in range(n)]


def test_dead_and_stopped_workers_change_no_result_and_neither_does_their_number(
    hosts: Hosts, tmp_path: Path
) -> None:
    expected = [(*draw(job)[:2], "1") for job in plain(6)]
    results, done = _run(hosts, plain(6), 1)
    assert results == expected
    assert done == [job.key for job in plain(6)]
    faults = {1: ("kill", 1, tmp_path), 4: ("stop", 1, tmp_path)}
    jobs = [Job(job.key, job.seed, faults.get(number)) for number, job in enumerate(plain(6))]
    started = time.monotonic()
    results, done = _run(hosts, jobs, 2)
    assert results == expected
    assert sorted(done) == [job.key for job in jobs]
    assert sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir()) == ["job-1", "job-4"]
    # One time-out and two starts; without the pool, a worker that lives on would sleep for minutes.
    assert time.monotonic() - started < 100.0


def _run(hosts: Hosts, jobs: list[Job], workers: int) -> tuple[list[tuple[str, float, str | None]], list[str]]:
    """Run jobs with faults; return their results, and their keys in the order in which they ended."""
    done: list[str] = []
    results = run_jobs(
        hosts,
        fault_then_draw,
        jobs,
        workers=workers,
        timeout_seconds=TIMEOUT_SECONDS,
        on_done=lambda job, _: done.append(job.key),
    )
    return results, done


def test_a_job_that_always_kills_its_worker_is_given_up(tmp_path: Path) -> None:
    jobs = [Job("fatal", 0, ("kill", 99, tmp_path)), Job("other", 1)]
    with Crew().open() as hosts, pytest.raises(WorkerLostError, match=r"fatal: 3 workers were lost.*signal 9"):
        _run(hosts, jobs, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_what_a_job_raises_arrives_and_running_jobs_are_finished(hosts: Hosts) -> None:
    with pytest.raises(ValueError, match="job-0 is refused") as caught:
        run_jobs(hosts, refuse, plain(3), workers=1, timeout_seconds=60.0)
    # Where on the worker it happened is the cause.
    assert "made_up_work.py" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match="UnreadableError: job-0 is refused"):
        run_jobs(hosts, refuse_unreadably, plain(1), workers=1, timeout_seconds=60.0)


def test_keys_name_one_job_each() -> None:
    with Crew().open() as hosts, pytest.raises(ValueError, match="same key"):
        run_jobs(hosts, draw, [Job("a", 0), Job("a", 1)], workers=1, timeout_seconds=1.0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_who_started_it_nor_does_what_it_started(how: signal.Signals, tmp_path: Path) -> None:
    note, script = tmp_path / "pids", tmp_path / "script.py"
    script.write_text(
        "import signal\n"
        "from sec_rl.workers import Crew, Job, run_jobs\n"
        "from tests.made_up_work import sleep_beside_a_child\n"
        # A shell that starts tests in the background lets them ignore it, and what they start as well.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        f"    jobs = [Job('a', 0, {str(note)!r})]\n"
        "    with Crew().open() as hosts:\n"
        "        run_jobs(hosts, sleep_beside_a_child, jobs, workers=1, timeout_seconds=600.0)\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL) as parent:
        assert wait_until(lambda: note.exists() and len(note.read_text().split()) == 2, 100.0)
        parent.send_signal(how)
    pids = [int(word) for word in note.read_text().split()]
    assert wait_until(lambda: not any(map(is_running, pids)), 20.0)


def test_a_cluster_listens_on_loopback_only(cluster: Hosts) -> None:
    del cluster
    assert os.environ["RAY_AUTH_MODE"] == "token"
    listening = set()
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "0000000000000000FFFF00000100007F")):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[1].split(":")[0] != loopback:
                listening.add(words[9])
    ours = _sockets_below(os.getpid())
    assert ours
    assert not listening & ours


def _sockets_below(pid: int) -> set[str]:
    """Return the inodes of the sockets of a process and of all it started."""
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(link)
                if target.startswith("socket:["):
                    found.add(target[8:-1])
        for child in children_of(pid):
            found |= _sockets_below(child)
    return found


def test_sigterm_still_means_what_it_meant(cluster: Hosts) -> None:
    del cluster
    # Ray's own handler would end the process without a word.
    assert not str(getattr(signal.getsignal(signal.SIGTERM), "__module__", "")).startswith("ray")


def test_a_cluster_that_is_too_small_is_refused(cluster: Hosts) -> None:
    del cluster
    with pytest.raises(InputError, match=r"4 workers of 2 threads need 8 processors; the Ray cluster .* has 2"):
        Crew(4, 2, "local").open()


def test_an_address_at_which_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"No Ray cluster answers at '{address}'"):
            _check_answers(address)


def test_an_address_without_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(MissingDependencyError, match=r"pip install 'sec-rl\[ray\]'"):
        Crew(ray_address="local")
    assert Crew(2).ray_address is None


@pytest.mark.parametrize(("workers", "threads", "match"), [(0, 1, "workers is 0"), (1, 0, "threads is 0")])
def test_nobody_cannot_work(workers: int, threads: int, match: str) -> None:
    with pytest.raises(InputError, match=match):
        Crew(workers, threads)
