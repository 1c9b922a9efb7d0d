"""The task pool: the same results whatever happens to the workers, and nobody left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sec_rl.errors import InputError, MissingDependencyError
from sec_rl.workers import Crew, Hosts, Job, WorkerLostError, run_jobs
from tests.made_up_work import draw, fault_then_draw, refuse, refuse_unreadably
from tests.processes import children_of, is_running, wait_until

ROOT = Path(__file__).parents[1]
# A worker that is stopped is noticed after this long.
TIMEOUT_SECONDS = 4.0


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
    expected = [draw(job)[:2] for job in plain(6)]
    faults = {1: ("kill", 2), 4: ("stop", 1)}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        jobs = [
            Job(job.key, job.seed, (*faults[i], folder) if i in faults else None) for i, job in enumerate(plain(6))
        ]
        started = time.monotonic()
        results, done = _run(hosts, jobs, workers)
        assert [result[:2] for result in results] == expected
        assert {result[2] for result in results} == {"1"}
        assert sorted(done) == [job.key for job in jobs]
        assert len(list(folder.iterdir())) == 3
        # One time-out and some starts; without the pool, a worker that lives on would sleep for minutes.
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


@pytest.mark.parametrize("how", ["close", "kill"])
def test_no_worker_outlives_who_started_it_nor_does_what_it_started(how: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    code = (
        "from pathlib import Path\nfrom sec_rl.workers import Crew, Job, run_jobs\n"
        "from tests.made_up_work import sleep_beside_a_child\n"
        "if __name__ == '__main__':\n"
        "    with Crew().open() as hosts:\n"
        f"        run_jobs(hosts, sleep_beside_a_child, [Job('a', 0, {str(note)!r})], workers=1, "
        f"timeout_seconds={2.0 if how == 'close' else 600.0})\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    ) as parent:
        assert wait_until(lambda: note.exists() and len(note.read_text().split()) == 2, 60.0)
        first = [int(word) for word in note.read_text().split()]
        if how == "kill":
            parent.kill()
        else:
            # It times out three times, and ends what it could not finish.
            parent.wait(timeout=120.0)
    pids = {*first, *(int(word) for word in note.read_text().split())}
    assert wait_until(lambda: not any(map(is_running, pids)), 10.0)


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
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_cluster_that_is_too_small_is_refused(cluster: Hosts) -> None:
    del cluster
    with pytest.raises(InputError, match=r"4 workers of 2 threads need 8 processors; the Ray cluster .* has 2"):
        Crew(4, 2, "local").open()


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
