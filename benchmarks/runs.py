"""Controlled runs through the command line, each in a process of its own; finished ones are reused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_policy
from sec_rl.errors import SecRlError
from sec_rl.workers import Crew, Job, WorkerLostError, run_jobs

Result = TypeVar("Result")

# The console script may not be on the PATH of whoever calls `.venv/bin/python`.
SEC_RL = (sys.executable, "-c", "from sec_rl.cli import main; main()")
# The same, ending with the worker that started it.
_TIE = "from sec_rl.workers.tie import end_with_parent; end_with_parent(); "
TIED_SEC_RL = (sys.executable, "-c", _TIE + SEC_RL[-1])
# The longest run of a benchmark, an encoder of BERT-base's size, takes half an hour.
RUN_HOURS = 6.0


class BenchmarkError(SecRlError):
    """A run of a benchmark failed."""


@dataclass(frozen=True)
class RunSpec:
    """One run of a benchmark.

    Attributes:
        name: its folder below the benchmark's `--out`, such as ``sst2/dense-seed0``.
        options: flags of `sec-rl run` without their dashes, and their values; an empty one is that of a switch.
    """

    name: str
    options: Mapping[str, str]

    def arguments(self, folder: Path) -> list[str]:
        """Return the words after `sec-rl`."""
        flags = [word for key, value in self.options.items() for word in (f"--{key}", value) if word]
        return ["run", *flags, "--out", str(folder)]


def read_result(folder: Path) -> dict[str, Any]:
    """Return `result.json` of a finished run.

    Raises:
        BenchmarkError: there is none, or it is not whole.
    """
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{str(folder)!r} holds no readable result.json.") from error
    if result.get("source") != "measured":
        raise BenchmarkError(f"{str(folder)!r} is not a measured run: its source is {result.get('source')!r}.")
    return dict(result)


def run_all(
    specs: Sequence[RunSpec],
    out: Path,
    say: Callable[[str], None],
    *,
    crew: Crew | None = None,
    timeout_seconds: float = 3600.0 * RUN_HOURS,
    program: Sequence[str] = TIED_SEC_RL,
) -> dict[str, Path]:
    """Make sure that every run is finished.

    A run is reused when the options it was made with are the options asked for, and the policy that drove it, if any,
    is the one that would drive it now; anything else in its folder is overwritten. What a run prints goes to
    `out/logs/`.

    Args:
        specs: the runs; what stands in it twice is run once.
        out: folder of all runs of the benchmark.
        say: takes one line of progress per run.
        crew: who runs them; None: one after the other. They share the folder `out`. The times that runs side by side
            report are not to be compared.
        timeout_seconds: longest a run may take.
        program: how `sec-rl` is called.

    Returns:
        per name its folder.

    Raises:
        BenchmarkError: a run failed, and the message ends with the last lines that it printed; or its workers were
            lost too often.
    """
    specs = list({spec.name: spec for spec in specs}.values())
    folders = {spec.name: out / spec.name for spec in specs}
    todo = [spec for spec in specs if not _finished(spec, out)]
    say(f"{len(specs) - len(todo)} of {len(specs)} runs are finished already.")

    def told(job: Job, seconds: float) -> str:
        return f"{seconds:.0f} s, test accuracy {read_result(folders[job.key]).get('test_accuracy')}"

    # Whether a worker is a process or Ray's, each run is a process of its own, called as a user would call it.
    work = partial(_run, out=out, program=program)
    jobs = [Job(spec.name, int(spec.options.get("seed", 0)), spec) for spec in todo]
    do_all(crew or Crew(), work, jobs, say, told=told, timeout_seconds=timeout_seconds)
    return folders


def do_all(
    crew: Crew,
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    say: Callable[[str], None],
    *,
    told: Callable[[Job, Result], str] = lambda *_: "done",
    timeout_seconds: float = 3600.0 * RUN_HOURS,
) -> list[Result]:
    """Do jobs on workers, see `sec_rl.workers.run_jobs`, and say after each how long the others will take.

    Args:
        crew: the workers.
        work: does a job.
        jobs: with a key and a seed each.
        say: takes one line of progress per job.
        told: what is said of a job that is done.
        timeout_seconds: longest a job may take.

    Returns:
        the results in the order of the jobs.

    Raises:
        BenchmarkError: the workers were lost too often.
    """
    started, done = time.monotonic(), 0

    def tell(job: Job, result: Result) -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - started) / done * (len(jobs) - done)
        say(f"[{done}/{len(jobs)}] {job.key}: {told(job, result)}; {_span(left)} left")

    with crew.open() as hosts:
        try:
            return run_jobs(hosts, work, jobs, workers=crew.workers, timeout_seconds=timeout_seconds, on_done=tell)
        except WorkerLostError as error:
            raise BenchmarkError(str(error)) from error


def _stamp(spec: RunSpec, out: Path) -> Path:
    return out / "options" / (spec.name.replace("/", "--") + ".json")


def _decided_by(spec: RunSpec) -> dict[str, str]:
    """Return what a run follows from: its options, and what they name without saying what is in it."""
    found = dict(spec.options)
    if found.get("schedule") == "policy":
        policy = load_policy(Path(found.get("policy", shipped_policy())))
        found["policy's fingerprint"] = policy.network.fingerprint()
    return found


def _finished(spec: RunSpec, out: Path) -> bool:
    try:
        made_with = json.loads(_stamp(spec, out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return made_with == _decided_by(spec) and (out / spec.name / "result.json").is_file()


def _run(job: Job, out: Path, program: Sequence[str]) -> float:
    spec: RunSpec = job.argument
    folder, stamp = out / spec.name, _stamp(spec, out)
    log = out / "logs" / (spec.name.replace("/", "--") + ".txt")
    for parent in (folder.parent, stamp.parent, log.parent):
        parent.mkdir(parents=True, exist_ok=True)
    made_with = _decided_by(spec)
    # Without its stamp a run counts as unfinished, however this process ends.
    stamp.unlink(missing_ok=True)
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        command = [*program, *spec.arguments(folder), "--overwrite"]
        with subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.PIPE) as process:
            code = process.wait()
    if code:
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise BenchmarkError(f"Run {spec.name!r} ended with code {code}; it printed:\n{last}")
    read_result(folder)
    aside = stamp.with_suffix(".new")
    aside.write_text(json.dumps(made_with, indent=1), encoding="utf-8")
    os.replace(aside, stamp)
    return time.monotonic() - started


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
