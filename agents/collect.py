"""Recording many episodes: parallel over workers, one file each, so that a collection resumes where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from sec_rl.agents.controllers import Controller
from sec_rl.agents.episode_plan import plan_episodes
from sec_rl.agents.traces import check_traces, read_traces
from sec_rl.compression.cost_table import CostTable
from sec_rl.errors import InputError, SecRlError
from sec_rl.run_folder import write_atomically
from sec_rl.workers import Crew, Job, WorkerLostError, run_jobs

EPISODES, PARTS, PLAN, TABLE = "episodes.parquet", "parts", "plan.json", "latency_table.json"
# An episode takes about a minute; one that takes as long as this hangs.
EPISODE_MINUTES = 60.0


class CollectionError(SecRlError):
    """An episode could not be recorded; what is finished is kept."""


@dataclass(frozen=True)
class Recorded:
    """One finished episode, as a line of progress.

    Attributes:
        done: episodes finished, `total`: of the whole collection.
        name: of this one.
        accuracy: at its end.
        seconds_left: of the whole collection, as estimated from what this process has seen.
    """

    done: int
    total: int
    name: str
    accuracy: float
    seconds_left: float


def collect(
    tasks: Sequence[str],
    n_episodes: int,
    out: Path,
    *,
    encoder: str = "minilm-l6",
    workers: int = 1,
    threads: int = 1,
    ray_address: str | None = None,
    timeout_minutes: float = EPISODE_MINUTES,
    seed: int = 0,
    policy: Path | None = None,
    on_episode: Callable[[Recorded], None] | None = None,
) -> pd.DataFrame:
    """Record episodes under exploring controllers.

    Neither the number of workers nor the loss of one changes what is recorded, measured times apart.

    Args:
        tasks: as `load_task` takes them.
        n_episodes: of the plan; those that `out` holds already are kept, and more may be asked for later.
        out: folder; `episodes.parquet` in it is the table, see `sec_rl.agents.traces`.
        encoder: as `sec-rl run` takes it.
        workers: episodes side by side.
        threads: of torch in each.
        ray_address: where the workers are, see `sec_rl.workers.Crew`; None: processes of this machine.
        timeout_minutes: an episode that takes longer, or whose worker dies, is recorded again by another worker;
            three attempts in all.
        seed: decides the plan.
        policy: folder of a policy of an earlier round, which drives the episodes that the plan has for it.
        on_episode: called after each episode.

    Returns:
        all episodes in `out`, those of earlier rounds with another policy, or none, included.

    Raises:
        InputError: nothing was asked for, or `out` holds a collection of another plan.
        CollectionError: an episode was lost too often; starting again resumes.
    """
    crew = Crew(workers, threads, ray_address)
    plan = plan_episodes(tasks, n_episodes, seed, with_policy=policy is not None)
    parts = out / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    _keep_plan(out, {"seed": seed, "encoder": encoder, "tasks": [Path(t).name for t in tasks]})
    table = measure_table(encoder, out / TABLE)
    _split(out, parts)
    with crew.open() as hosts:
        missing = [spec for spec in plan if not (parts / f"{spec.name}.parquet").exists()]
        started, report, done = time.monotonic(), on_episode or (lambda _: None), len(plan) - len(missing)

        def keep(job: Job, rows: pd.DataFrame) -> None:
            nonlocal done
            _write_parquet(rows, parts / f"{job.key}.parquet")
            done += 1
            count = done - len(plan) + len(missing)
            left = (time.monotonic() - started) / count * (len(plan) - done)
            report(Recorded(done, len(plan), job.key, float(rows["final_accuracy"].iloc[0]), left))

        work = partial(_record_one, encoder=encoder, table=table, threads=threads, driver=_driver(policy))
        jobs = [Job(spec.name, spec.seed, spec) for spec in missing]
        try:
            run_jobs(hosts, work, jobs, workers=crew.workers, timeout_seconds=60.0 * timeout_minutes, on_done=keep)
        except WorkerLostError as error:
            raise CollectionError(f"{error} The same command resumes where it stopped.") from error
    frames = [pd.read_parquet(path) for path in sorted(parts.glob("*.parquet"))]
    whole = check_traces(pd.concat(frames, ignore_index=True), str(out))
    _write_parquet(whole, out / EPISODES)
    return whole


def _record_one(job: Job, encoder: str, table: CostTable, threads: int, driver: Controller | None) -> pd.DataFrame:
    """Record one episode on a worker, which needs no folder of this machine."""
    from sec_rl.agents.record import record_episode

    return record_episode(job.argument, encoder, table, threads=threads, policy=driver)


def _driver(policy: Path | None) -> Controller | None:
    if policy is None:
        return None
    from sec_rl.agents.policy import load_policy

    return load_policy(policy)


def _split(out: Path, parts: Path) -> None:
    """Make single files of a table that came without them: what was shipped can be added to."""
    if (out / EPISODES).exists():
        for episode, rows in read_traces(out).groupby("episode"):
            path = parts / f"{episode}.parquet"
            if not path.exists():
                _write_parquet(rows, path)


def _write_parquet(rows: pd.DataFrame, path: Path) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    rows.to_parquet(aside, index=False, compression="zstd")
    aside.replace(path)


def _keep_plan(out: Path, asked: dict[str, object]) -> None:
    """Write down what the plan was drawn from, or refuse another."""
    path = out / PLAN
    if not path.exists():
        write_atomically(path, json.dumps(asked, indent=1) + "\n")
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    for key, value in asked.items():
        if known.get(key) != value:
            raise InputError(
                f"{str(out)!r} holds a collection with {key} {known.get(key)!r}; this one has {value!r}."
            )


def measure_table(encoder: str, path: Path) -> CostTable:
    """Return the latency table in a file, measured first where there is none.

    Processes side by side would only measure each other: it is measured once, before they start.

    Args:
        encoder: as `sec-rl run` takes it.
        path: JSON file.
    """
    if path.exists():
        return CostTable.from_dict(json.loads(path.read_text(encoding="utf-8")))
    table = time_table(encoder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(table.to_dict()) + "\n")
    return table


def time_table(encoder: str, length: int = 32) -> CostTable:
    """Measure the latency table of an encoder on this machine.

    Args:
        encoder: as `sec-rl run` takes it.
        length: tokens of a text.
    """
    from sec_rl.backends.pruning import cost_table
    from sec_rl.compression.loading import load_dense
    from sec_rl.config import PruningConfig
    from sec_rl.encoders import resolve_encoder
    from sec_rl.measurement.machine import usable_cores

    model, _ = load_dense(resolve_encoder(encoder), ("no", "yes"), 0)
    return cost_table(model, PruningConfig(), usable_cores(), length=length)
