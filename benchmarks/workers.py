"""What it costs to have workers: the scheduler alone, with episodes that only wait and messages of the real size.

Fake episodes take a plan's `EpisodeSpec` and return the rows of a recorded episode, so that what travels is what
`sec-rl collect` sends. They sleep instead of training: two workers on two busy cores would measure the cores.
"""

from __future__ import annotations

import os
import pickle
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.console import exit_with, say
from benchmarks.crowd import CROWDS
from benchmarks.options import parse_options
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.episode_plan import plan_episodes
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.traces import read_traces
from sec_rl.workers import Crew, Hosts, Job, run_jobs

ADDRESSES: dict[str, str | None] = {"processes": None, "Ray": "local"}
COSTS = ("overhead_ms", "recovery_seconds", "recovery_seconds_worst")
CROWD = 1000
# Of an episode of the efficiency.
WAIT_SECONDS = 0.5
# Of a real episode, with one thread; what a fake one stands for.
EPISODE_SECONDS = 60.0
TIMEOUT_SECONDS = 300.0


def wait_and_answer(job: Job, rows: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """Do a fake episode."""
    time.sleep(seconds)
    return rows


def die_once(job: Job, folder: str) -> float:
    """Kill this worker the first time, and return the seconds until the job begins again."""
    note = Path(folder, job.key)
    if note.exists():
        return time.monotonic() - float(note.read_text(encoding="ascii"))
    note.write_text(str(time.monotonic()), encoding="ascii")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def fake_jobs(number: int) -> list[Job]:
    """Return jobs as `collect` gives them."""
    return [Job(spec.name, spec.seed, spec) for spec in plan_episodes(["fake"], number, 0)]


def timed(hosts: Hosts, jobs: Sequence[Job], work: Any, workers: int, keep: Path | None = None) -> dict[str, float]:
    """Return seconds until the first result, from then to the last, and those of this process's processor.

    Args:
        hosts: the workers' kind.
        jobs: fake episodes.
        work: does one.
        workers: at a time.
        keep: folder in which each result is written as `collect` writes it.
    """
    ends: list[float] = []

    def done(job: Job, rows: pd.DataFrame) -> None:
        if keep is not None:
            rows.to_parquet(keep / "episode.parquet", index=False, compression="zstd")
        ends.append(time.monotonic())

    begun, processor = time.monotonic(), time.process_time()
    run_jobs(hosts, work, jobs, workers=workers, timeout_seconds=TIMEOUT_SECONDS, on_done=done)
    return {
        "first": ends[0] - begun,
        "others": ends[-1] - ends[0],
        "whole": ends[-1] - begun,
        "processor": time.process_time() - processor,
    }


def efficiency(hosts: Hosts, rows: pd.DataFrame, number: int, seconds: float) -> list[dict[str, Any]]:
    """Return what one and two workers make of waiting episodes, which would take number x length / workers."""
    found = []
    for workers in (1, 2):
        # The first jobs start the workers, and their results come together: what is done from then on counts.
        run = timed(hosts, fake_jobs(number), partial(wait_and_answer, rows=rows, seconds=seconds), workers)
        ideal = (number - workers) / workers * seconds
        start = run["first"] - seconds
        found.append({"workers": workers, "start_seconds": start, "efficiency": ideal / run["others"]})
    return found


def overhead(hosts: Hosts, rows: pd.DataFrame, number: int) -> dict[str, float]:
    """Return what an episode of no length takes with one worker, and how fast a lost worker is replaced."""
    run = timed(hosts, fake_jobs(number), partial(wait_and_answer, rows=rows, seconds=0.0), 1)
    with tempfile.TemporaryDirectory() as folder:
        work = partial(die_once, folder=folder)
        lost = run_jobs(hosts, work, fake_jobs(5), workers=1, timeout_seconds=TIMEOUT_SECONDS)
    return {
        "overhead_ms": 1e3 * run["others"] / (number - 1),
        "recovery_seconds": statistics.median(lost),
        "recovery_seconds_worst": max(lost),
    }


def crowded(kind: str, rows: pd.DataFrame, number: int) -> dict[str, Any]:
    """Return what the driver does when `CROWD` workers answer at once, over and over: episodes per second."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, keep in (("", None), ("_written", Path(folder))):
            with CROWDS[kind](CROWD) as hosts:
                work = partial(wait_and_answer, rows=rows, seconds=0.0)
                run = timed(hosts, fake_jobs(number), work, CROWD, keep)
            found[f"per_second{name}"] = number / run["whole"]
            found[f"processor_ms{name}"] = 1e3 * run["processor"] / number
    return found


def measured(kind: str, rows: pd.DataFrame, *, waiting: int, many: int, crowd: int) -> dict[str, Any]:
    """Return every figure of a kind of workers; `open_seconds`: until its cluster is there."""
    begun = time.monotonic()
    with Crew(2, 1, ADDRESSES[kind]).open() as hosts:
        opened = time.monotonic() - begun
        say(f"{kind}: one and two workers")
        scaling = efficiency(hosts, rows, waiting, WAIT_SECONDS)
        say(f"{kind}: overhead and recovery")
        costs = overhead(hosts, rows, many)
        say(f"{kind}: the messages of {CROWD:,} workers")
        return {"kind": kind, "open_seconds": opened, "scaling": scaling, **costs, **crowded(kind, rows, crowd)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write; returns the exit code."""
    options = parse_options("workers", "The scheduler alone, with fake episodes.", tasks=(), arguments=arguments)
    waiting, many, crowd = (6, 20, CROWD) if options.quick else (20, 200, 3 * CROWD)
    traces = read_traces(shipped_traces())
    rows = traces[traces["episode"] == traces["episode"].iloc[0]].reset_index(drop=True)
    job_bytes = len(pickle.dumps(fake_jobs(1)[0]))
    rows_bytes = len(pickle.dumps(rows))
    found = [measured(kind, rows, waiting=waiting, many=many, crowd=crowd) for kind in ADDRESSES]
    tables = [
        markdown_table(
            ["workers", "cluster opens, s", "first worker starts, s", "efficiency of 1", "of 2"],
            [
                [
                    r["kind"],
                    f"{r['open_seconds']:.2f}",
                    f"{r['scaling'][0]['start_seconds']:.2f}",
                    *(f"{each['efficiency']:.3f}" for each in r["scaling"]),
                ]
                for r in found
            ],
        ),
        markdown_table(
            ["workers", "overhead per episode, ms", "recovery after a kill, s", "worst of five, s"],
            [
                [
                    r["kind"],
                    *(f"{r[name]:.2f}" for name in ("overhead_ms", "recovery_seconds", "recovery_seconds_worst")),
                ]
                for r in found
            ],
        ),
        markdown_table(
            [f"{CROWD:,} workers", "episodes per second", "driver, ms of processor", "with files: per second", "ms"],
            [
                [
                    r["kind"],
                    *(
                        cell
                        for name in ("", "_written")
                        for cell in (f"{r[f'per_second{name}']:,.0f}", f"{r[f'processor_ms{name}']:.2f}")
                    ),
                ]
                for r in found
            ],
        ),
    ]
    notes = [
        f"A job is {job_bytes:,} bytes, its rows are {rows_bytes:,}: those of a recorded episode.",
        f"Efficiency: {waiting} episodes that wait {WAIT_SECONDS:g} s; what they would take without a "
        "scheduler over what they take, from the first result to the last.",
        f"Overhead: {many} episodes of no length, one worker. Recovery: from the moment a worker kills itself to the "
        "moment its job begins again on a new one; a worker that hangs is noticed at the time-out first.",
        f"{CROWD:,} workers: {crowd:,} episodes of no length, answered over {CROWD:,} connections by one process, or "
        "by one Ray actor; driver and transport are the real ones. With files: each result is written as `collect` "
        "writes it.",
        f"{CROWD:,} workers with episodes of {EPISODE_SECONDS:.0f} s end {CROWD / EPISODE_SECONDS:.1f} per second.",
        f"Ray {version('ray')}, on this machine, listening on loopback.",
    ]
    data = {"rows": found, "bytes": {"job": job_bytes, "rows": rows_bytes}}
    print(write_results(options, "Workers: the scheduler alone", tables=tables, notes=notes, data=data))
    return 0


if __name__ == "__main__":
    exit_with(main)
