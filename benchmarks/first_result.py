"""How long it takes a newcomer to a first result: from a fresh clone to a table and a report.

    python -m benchmarks.first_result

The repository of this checkout is cloned into a temporary folder (about 2 GB), where the commands of the README run
as they are typed: the installation, with which `make demo` begins, and the demo itself. What is not committed is not
in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.console import exit_with, say
from benchmarks.options import parse_options
from benchmarks.runs import BenchmarkError
from benchmarks.writing import markdown_table, write_results

ROOT = Path(__file__).resolve().parents[1]
CLONE = "clone"
SWITCHES = {"no-cache": "let pip download everything anew, as on a machine that never had any of it"}
# What a shell of this environment would hand on, and a newcomer's does not have.
_OURS = ("PYTHONPATH", "VIRTUAL_ENV", "SEC_RL_CACHE", "SEC_RL_TASKS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")


@dataclass(frozen=True)
class Step:
    """A command of a newcomer.

    Attributes:
        name: what it is for.
        words: as they are typed, in the clone.
        shown: what the table shows of it.
    """

    name: str
    words: tuple[str, ...]
    shown: str


def steps(*, quick: bool) -> list[Step]:
    """Return what is typed in the clone; the last step leaves `runs/demo`.

    Args:
        quick: end with a short replay instead of the demo.
    """
    make = ("make", f"PYTHON={sys.executable}")
    install = Step("installation", (*make, ".venv/.installed"), "make .venv/.installed")
    if not quick:
        return [install, Step("demo", (*make, "demo"), "make demo")]
    replay = "sec-rl replay --task movie-reviews --quick --out runs/demo"
    return [install, Step("a short replay", (f".venv/bin/{replay.split()[0]}", *replay.split()[1:]), replay)]


def main() -> int:
    """Clone, install, run, and write the table."""
    options = parse_options(
        "first_result", "Time from a fresh clone to the first result.", tasks=(), seeds=(0,), switches=SWITCHES
    )
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    cold = "no-cache" in options.switches
    if cold:
        environment["PIP_NO_CACHE_DIR"] = "1"
    with tempfile.TemporaryDirectory(prefix="sec-rl-first-") as name:
        place = Path(name) / CLONE
        clone = Step("clone", ("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(place)), "git clone")
        seconds = {clone.name: timed(clone, Path(name), environment)}
        planned = steps(quick=options.quick)
        for step in planned:
            seconds[step.name] = timed(step, place, environment)
        result = json.loads((place / "runs" / "demo" / "result.json").read_text(encoding="utf-8"))
        if not (place / "runs" / "demo" / "report.html").is_file():
            raise BenchmarkError("The demo left no report.")
        commit = _output("git", "-C", str(place), "rev-parse", "--short", "HEAD")
        installed = _bytes_below(place / ".venv")
    rows = [[step.name, f"`{step.shown}`", f"{seconds[step.name] / 60.0:.1f}"] for step in (clone, *planned)]
    rows.append(["together", "", f"{sum(seconds.values()) / 60.0:.1f}"])
    page = write_results(
        options,
        "From a fresh clone to the first result",
        tables=[markdown_table(["step", "typed", "min"], rows)],
        notes=[
            f"Commit {commit}, cloned from this machine's disk; the environment takes {installed / 1e9:.1f} GB.",
            "pip downloaded every package from its index."
            if cold
            else "pip took from its cache what it had; `--no-cache` downloads everything.",
            result_line(result),
        ],
        over="",
        data={"commit": commit, "cold": cold, "seconds": seconds, "installed_bytes": installed, "result": result},
    )
    print(page)
    return 0


def timed(step: Step, folder: Path, environment: Mapping[str, str]) -> float:
    """Run a step and return the seconds it took.

    Args:
        step: the step.
        folder: where it is typed.
        environment: of the process.

    Raises:
        BenchmarkError: it failed; with the last lines it printed.
    """
    say(f"{step.name}: {step.shown} ...")
    start = time.monotonic()
    try:
        ended = subprocess.run(
            step.words,
            cwd=folder,
            env=environment,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise BenchmarkError(f"{step.words[0]} cannot be started: {error.strerror}.") from error
    taken = time.monotonic() - start
    if ended.returncode:
        last = "\n".join(ended.stdout.splitlines()[-10:])
        raise BenchmarkError(f"{step.shown} ended with code {ended.returncode}; it printed:\n{last}")
    say(f"{step.name}: {taken:.0f} s")
    return taken


def result_line(result: Mapping[str, Any]) -> str:
    """Return what the first result is, in one sentence."""
    dense = result["dense"]
    speedup = dense["latency_ms"]["batch32"]["p50"] / result["latency_ms"]["batch32"]["p50"]
    return (
        f"The result: {result['test_accuracy']:.1%} of the test split right, {result['size_bytes'] / 1e6:.1f} MB "
        f"instead of {dense['size_bytes'] / 1e6:.1f}, {speedup:.1f} times faster than the dense fp32 model."
    )


def _output(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink() and path.is_file())


if __name__ == "__main__":
    exit_with(main)
