"""Recording many episodes: parallel over processes, one file each, so that a collection resumes where it stopped."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sec_rl.agents.controllers import Controller
from sec_rl.agents.episode_plan import EpisodeSpec, plan_episodes, task_name
from sec_rl.agents.traces import read_episode, read_traces
from sec_rl.compression.cost_table import CostTable
from sec_rl.errors import InputError, RunFolderError, SecRlError
from sec_rl.files import hold_folder, read_json, write_atomically, write_bytes

EPISODES, PARTS, PLAN, TABLE = "episodes.parquet", "parts", "plan.json", "latency_table.json"
_OURS = (EPISODES, PARTS, PLAN, TABLE)
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
    out: Path,
    *,
    encoder: str = "minilm-l6",
    workers: int = 1,
    threads: int = 1,
    seed: int = 0,
    policy: Path | None = None,
    on_episode: Callable[[Recorded], None] | None = None,
) -> pd.DataFrame:
    """Record episodes under exploring controllers.

    Args:
        tasks: as `load_task` takes them; others may be added to the same `out` later.
        n_episodes: of these tasks; those that `out` holds already are kept, and more may be asked for later.
        out: folder; `episodes.parquet` in it is the table, see `sec_rl.agents.traces`.
        encoder: as `sec-rl run` takes it.
        workers: processes.
        threads: of torch in each.
        seed: decides the plan.
        policy: folder of a policy of an earlier round, which drives the episodes that the plan has for it.
        on_episode: called after each episode.

    Returns:
        all episodes in `out`, those of earlier rounds with other tasks, another policy, or none, included.

    Raises:
        InputError: nothing was asked for, or `out` holds a collection of another plan.
        RunFolderError: another process holds `out`, or it holds something else.
        CollectionError: an episode failed, or its process died; starting again resumes.
    """
    plan = plan_episodes(tasks, n_episodes, seed, with_policy=policy is not None)
    with hold_folder(out, "Traces folder"):
        if out.exists() and any(out.iterdir()) and not any((out / name).exists() for name in _OURS):
            raise RunFolderError(f"{str(out)!r} is not empty and holds no recorded episodes; nothing was touched.")
        (out / PARTS).mkdir(parents=True, exist_ok=True)
        _keep_plan(out, {"seed": seed, "encoder": encoder}, [task_name(task) for task in tasks])
        table = measure_table(encoder, out / TABLE)
        _split(out, out / PARTS)
        _record_missing(plan, out / PARTS, encoder, table, policy, workers, threads, on_episode or (lambda _: None))
        whole = read_traces(out / PARTS)
        _write_parquet(whole, out / EPISODES)
    return whole


def _record_missing(
    plan: Sequence[EpisodeSpec],
    parts: Path,
    encoder: str,
    table: CostTable,
    policy: Path | None,
    workers: int,
    threads: int,
    report: Callable[[Recorded], None],
) -> None:
    """Record the episodes that are not there yet, side by side."""
    missing = [spec for spec in plan if not _is_whole(parts / f"{spec.name}.parquet")]
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        futures: dict[Future[float], EpisodeSpec] = {
            pool.submit(_record_one, spec, encoder, table, threads, policy, parts): spec for spec in missing
        }
        try:
            for count, future in enumerate(as_completed(futures), 1):
                accuracy = future.result()
                left = (time.monotonic() - started) / count * (len(missing) - count)
                done = len(plan) - len(missing) + count
                report(Recorded(done, len(plan), futures[future].name, accuracy, left))
        except BrokenProcessPool as error:
            raise CollectionError("A recording process died; the same command resumes where it stopped.") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _record_one(
    spec: EpisodeSpec, encoder: str, table: CostTable, threads: int, policy: Path | None, parts: Path
) -> float:
    """Record one episode in a worker process; return its final accuracy."""
    from sec_rl.agents.record import record_episode

    driver: Controller | None = None
    if policy is not None:
        from sec_rl.agents.policy import load_policy

        driver = load_policy(policy)
    rows = record_episode(spec, encoder, table, threads=threads, policy=driver)
    _write_parquet(rows, parts / f"{spec.name}.parquet")
    return float(rows["final_accuracy"].iloc[0])


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
    from sec_rl.backends.pruning import cost_table
    from sec_rl.compression.loading import load_dense
    from sec_rl.config import PruningConfig
    from sec_rl.encoders import resolve_encoder
    from sec_rl.measurement.machine import usable_cores

    model, _ = load_dense(resolve_encoder(encoder), ("no", "yes"), 0)
    table = cost_table(model, PruningConfig(), usable_cores(), length=32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(table.to_dict()) + "\n")
    return table
