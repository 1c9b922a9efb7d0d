"""Recording many episodes: parallel over workers, one file each, so that a collection resumes where it stopped."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from sec_rl.agents.controllers import Controller
from sec_rl.agents.episode_plan import EpisodeSpec, plan_episodes, task_name
from sec_rl.agents.traces import read_episode, read_traces
from sec_rl.compression.cost_table import CostTable
from sec_rl.errors import InputError, RunFolderError, SecRlError
from sec_rl.files import hold_folder, read_json, write_atomically, write_bytes
from sec_rl.workers import Crew, Job, WorkerLostError, run_jobs

EPISODES, PARTS, PLAN, TABLE = "episodes.parquet", "parts", "plan.json", "latency_table.json"
_OURS = (EPISODES, PARTS, PLAN, TABLE)
# An episode takes about a minute; one that takes as long as this hangs.
EPISODE_MINUTES = 60.0
_LOG = logging.getLogger(__name__)


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
    out: str | Path,
    *,
    encoder: str = "minilm-l6",
    workers: int = 1,
    threads: int = 1,
    ray_address: str | None = None,
    timeout_minutes: float = EPISODE_MINUTES,
    seed: int = 0,
    policy: str | Path | None = None,
    on_episode: Callable[[Recorded], None] | None = None,
) -> pd.DataFrame:
    """Record episodes under exploring controllers.

    Neither the number of workers nor the loss of one changes what is recorded, measured times apart.

    Args:
        tasks: as `load_task` takes them; others may be added to the same `out` later.
        n_episodes: of these tasks; those that `out` holds already are kept, and more may be asked for later.
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
        all episodes in `out`, those of earlier rounds with other tasks, another policy, or none, included.

    Raises:
        InputError: nothing was asked for, or `out` holds a collection of another plan.
        RunFolderError: another process holds `out`, or it holds something else.
        CollectionError: an episode was lost too often; starting again resumes.

    Examples:
        >>> from sec_rl import collect
        >>> table = collect(["sms-spam"], 2, "runs/episodes")
        >>> table["episode"].nunique()
        2
    """
    out = Path(out)
    crew = Crew(workers, threads, ray_address)
    plan = plan_episodes(tasks, n_episodes, seed, with_policy=policy is not None)
    with hold_folder(out, "Traces folder"):
        if out.exists() and any(out.iterdir()) and not any((out / name).exists() for name in _OURS):
            raise RunFolderError(f"{str(out)!r} is not empty and holds no recorded episodes; nothing was touched.")
        (out / PARTS).mkdir(parents=True, exist_ok=True)
        _keep_plan(out, {"seed": seed, "encoder": encoder}, [task_name(task) for task in tasks])
        table = measure_table(encoder, out / TABLE)
        _split(out, out / PARTS)
        work = partial(_record_one, encoder=encoder, table=table, threads=threads, driver=_driver(policy))
        _record_missing(plan, out / PARTS, work, crew, 60.0 * timeout_minutes, on_episode or (lambda _: None))
        whole = read_traces(out / PARTS)
        _write_parquet(whole, out / EPISODES)
    return whole


def _record_missing(
    plan: Sequence[EpisodeSpec],
    parts: Path,
    work: Callable[[Job], pd.DataFrame],
    crew: Crew,
    timeout_seconds: float,
    report: Callable[[Recorded], None],
) -> None:
    """Record the episodes that are not there yet, side by side."""
    missing = [spec for spec in plan if not _is_whole(parts / f"{spec.name}.parquet")]
    started, done = time.monotonic(), len(plan) - len(missing)

    def keep(job: Job, rows: pd.DataFrame) -> None:
        nonlocal done
        _write_parquet(rows, parts / f"{job.key}.parquet")
        done += 1
        count = done - len(plan) + len(missing)
        left = (time.monotonic() - started) / count * (len(plan) - done)
        report(Recorded(done, len(plan), job.key, float(rows["final_accuracy"].iloc[0]), left))

    jobs = [Job(spec.name, spec.seed, spec) for spec in missing]
    with crew.open() as hosts:
        try:
            run_jobs(hosts, work, jobs, workers=crew.workers, timeout_seconds=timeout_seconds, on_done=keep)
        except WorkerLostError as error:
            raise CollectionError(f"{error} The same command resumes where it stopped.") from error


def _record_one(job: Job, encoder: str, table: CostTable, threads: int, driver: Controller | None) -> pd.DataFrame:
    """Record one episode on a worker, which needs no folder of this machine."""
    from sec_rl.agents.record import record_episode

    return record_episode(job.argument, encoder, table, threads=threads, policy=driver)


def _driver(policy: str | Path | None) -> Controller | None:
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


def _is_whole(path: Path) -> bool:
    """Return whether an episode is on disk; a damaged one is recorded again."""
    if not path.exists():
        return False
    try:
        read_episode(path)
    except InputError as error:
        _LOG.warning("%s It is recorded again.", error)
        return False
    return True


def _write_parquet(rows: pd.DataFrame, path: Path) -> None:
    content = io.BytesIO()
    rows.to_parquet(content, index=False, compression="zstd", write_page_checksum=True)
    write_bytes(path, content.getvalue())


def _keep_plan(out: Path, asked: dict[str, object], tasks: Sequence[str]) -> None:
    """Write down what the plan is drawn from, and its tasks; refuse a plan that is drawn from something else."""
    path = out / PLAN
    known: dict[str, Any] = read_json(path) if path.exists() else asked | {"tasks": []}
    for key, value in asked.items():
        if known.get(key) != value:
            raise InputError(
                f"{str(out)!r} holds a collection with {key} {known.get(key)!r}; this one has {value!r}."
            )
    plan = known | {"tasks": list(dict.fromkeys([*known["tasks"], *tasks]))}
    if plan != known or not path.exists():
        write_atomically(path, json.dumps(plan, indent=1) + "\n")


def measure_table(encoder: str, path: Path) -> CostTable:
    """Return the latency table in a file, measured first where there is none.

    Processes side by side would only measure each other: it is measured once, before they start.

    Args:
        encoder: as `sec-rl run` takes it.
        path: JSON file.
    """
    if path.exists():
        try:
            return CostTable.from_dict(read_json(path))
        except (TypeError, ValueError) as error:
            raise InputError(f"{str(path)!r} is no latency table; delete it to measure again.") from error
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
