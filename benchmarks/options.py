"""Options that every benchmark takes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sec_rl.errors import InputError
from sec_rl.measurement.machine import usable_cores
from sec_rl.workers import Crew

RESULTS = Path("docs/results")
QUICK_PASSES = 640


@dataclass(frozen=True)
class Options:
    """What a benchmark was asked for.

    Attributes:
        name: of the benchmark; its results are `NAME.json` and `NAME.md`.
        tasks_root: folder that holds one folder per task.
        tasks: names of folders below it.
        encoder: as `sec-rl run --encoder` takes it.
        out: folder of the runs; what is finished there is not run again.
        results: folder of the tables.
        seeds: seeds of the runs.
        passes: budget of example passes of each run; None: the default of `sec-rl run`.
        threads: of torch and onnxruntime while something is timed.
        workers: training runs side by side where their own times are not reported; they share the threads.
        ray_address: of the Ray cluster on which they run; None: processes of this machine.
        quick: whether this is a smoke test.
        command: the command line that repeats the benchmark, free of this machine's paths.
        switches: the benchmark's own switches that were given.
    """

    name: str
    tasks_root: Path
    tasks: tuple[str, ...]
    encoder: str
    out: Path
    results: Path
    seeds: tuple[int, ...]
    passes: int | None
    threads: int
    workers: int
    ray_address: str | None
    quick: bool
    command: str
    switches: frozenset[str] = frozenset()

    @property
    def threads_per_run(self) -> int:
        """Threads of each training run when `workers` of them share the machine."""
        return max(1, self.threads // self.workers)

    @property
    def crew(self) -> Crew:
        """Who runs them."""
        return Crew(self.workers, self.threads_per_run, self.ray_address)

    def task_folder(self, task: str) -> Path:
        """Return the folder of a task."""
        return self.tasks_root / task


def parse_options(
    name: str,
    description: str,
    *,
    tasks: Sequence[str],
    runs_of: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    quick_seeds: int = 1,
    switches: Mapping[str, str] | None = None,
    trains: bool = True,
    arguments: Sequence[str] | None = None,
) -> Options:
    """Read the options from the command line.

    Args:
        name: module of the benchmark.
        description: first line of its help.
        tasks: the tasks it runs unless `--tasks` names others; none: it needs no folder of tasks.
        runs_of: the benchmark whose runs it shares; None: it has its own.
        seeds: unless `--seeds` names others.
        quick_seeds: how many of them a smoke test takes.
        switches: flags of this benchmark alone, without their dashes, and what each does.
        trains: whether tasks are trained on, so that a folder of them is needed.
        arguments: the command line; None: the process's own.

    Raises:
        InputError: no folder of tasks is named, or a task is not in it.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description, allow_abbrev=False)
    parser.add_argument(
        "--tasks-root",
        type=Path,
        help="folder with a folder of train, validation and test files per task; default: $SEC_RL_TASKS",
    )
    parser.add_argument("--tasks", nargs="+", default=list(tasks), help="folders below it")
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--out", type=Path, help="folder of the runs; finished ones are reused")
    parser.add_argument("--results", type=Path, help=f"folder of the tables; default: {RESULTS}")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(seeds))
    parser.add_argument("--passes", type=int, help="example passes of each run")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--workers", type=int, default=1, help="training runs side by side, sharing the threads")
    parser.add_argument("--ray-address", help="run them on a Ray cluster; `local` starts one on this machine")
    parser.add_argument(
        "--quick", action="store_true", help=f"one seed, {QUICK_PASSES} passes, tables beside the runs: a smoke test"
    )
    for switch, does in (switches or {}).items():
        parser.add_argument(f"--{switch}", action="store_true", help=does)
    found = parser.parse_args(arguments)
    given = frozenset(switch for switch in switches or {} if getattr(found, switch.replace("-", "_")))
    trains = trains and bool(found.tasks)
    # Runs are named by task, arm and seed, so another encoder's would take the place of the default one's.
    encoded = "" if found.encoder == parser.get_default("encoder") else f"-{Path(found.encoder).name}"
    out = found.out or Path("runs/benchmarks") / ((runs_of or name) + encoded + ("-quick" if found.quick else ""))
    return Options(
        name=name + encoded,
        tasks_root=_tasks_root(found.tasks_root, found.tasks) if trains else Path(),
        tasks=tuple(found.tasks),
        encoder=found.encoder,
        out=out,
        results=found.results or (out if found.quick else RESULTS),
        seeds=tuple(found.seeds[:quick_seeds] if found.quick else found.seeds),
        passes=found.passes or (QUICK_PASSES if found.quick else None),
        threads=found.threads,
        workers=found.workers,
        ray_address=found.ray_address,
        quick=found.quick,
        command=_repeatable(name, found, parser.parse_args([]), given, trains=trains),
        switches=given,
    )


def _tasks_root(given: Path | None, tasks: Sequence[str]) -> Path:
    named = given or (Path(os.environ["SEC_RL_TASKS"]) if "SEC_RL_TASKS" in os.environ else None)
    if named is None:
        raise InputError("No folder of tasks: give --tasks-root DIR or set SEC_RL_TASKS.")
    for task in tasks:
        if not (named / task).is_dir():
            raise InputError(f"Task {task!r} is no folder in {str(named)!r}.")
    return named.resolve()


def _repeatable(
    name: str, found: argparse.Namespace, defaults: argparse.Namespace, switches: frozenset[str], *, trains: bool
) -> str:
    """Return a command line without the folders of this machine."""
    words = [f"python -m benchmarks.{name}", *(["--tasks-root $SEC_RL_TASKS"] if trains else [])]
    for key in ("tasks", "encoder", "seeds", "passes", "threads", "workers", "ray_address", "quick"):
        value = getattr(found, key)
        if value == getattr(defaults, key):
            continue
        # Where a cluster is, is nobody's business.
        value = "ADDRESS" if key == "ray_address" else value
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, list):
            flag += " " + " ".join(map(str, value))
        elif value is not True:
            flag += f" {Path(value).name if key == 'encoder' else value}"
        words.append(flag)
    words += [f"--{switch}" for switch in sorted(switches)]
    return " ".join(words)
