"""Whole runs that are struck again and again, by a kill or a signal, and go on each time."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.faults.row import Row
from benchmarks.faults.runs import LOOK_SECONDS, difference, segments_done, small_run, words_of
from benchmarks.faults.warm import Warm, WarmRun
from sec_rl.config import RunConfig

STRIKES_PER_RUN = 10
# Segments that a run of that many strikes is long enough for.
_SEGMENTS, _MOST_BETWEEN = 40, 4
# Of the run's own processor time, which neighbours on a busy machine hardly change; and by the clock.
EXIT_SECONDS, HANGS_SECONDS = 10.0, 120.0

# Strikes a run; returns whether it hit, None where the run had ended before.
Strike = Callable[[WarmRun, Path], bool | None]


def kill_runs(count: int, folder: Path, seed: int) -> tuple[Row, Row]:
    """Kill real runs again and again, every second time inside a save, and compare what comes out.

    Args:
        count: kills.
        folder: of the runs.
        seed: of the runs and of the moments.

    Returns:
        the row of the kills inside a save, and that of all others.
    """
    chance = random.Random(seed)
    counts = {True: 0, False: 0}

    def kill(run: WarmRun, place: Path) -> bool | None:
        if sum(counts.values()) % 2 == 0:
            while run.poll() is None and not _saving(place):
                time.sleep(LOOK_SECONDS)
        else:
            time.sleep(chance.uniform(0.0, 0.1))
        run.send_signal(signal.SIGKILL)
        if run.wait() != -signal.SIGKILL:
            return None
        counts[_saving(place)] += 1
        return True

    row = _struck("SIGKILL of a real run inside a save", count, folder, seed, kill)
    return (
        replace(row, injected=counts[True]),
        Row("SIGKILL of a real run elsewhere", counts[False], row.lost, row.corrupted),
    )


def signal_runs(name: str, count: int, folder: Path, seed: int) -> Row:
    """Send SIGTERM or SIGINT to real runs: they must say how to go on, in time, and go on to the same end.

    Args:
        name: of the signal.
        count: signals.
        folder: of the runs.
        seed: of the runs and of the moments.
    """
    chance, number = random.Random(seed), signal.Signals[name]
    slowest = busiest = 0.0
    problems = []

    def send(run: WarmRun, place: Path) -> bool | None:
        nonlocal slowest, busiest
        time.sleep(chance.uniform(0.0, 0.05))
        if run.poll() is not None:
            return None
        asked, used = time.perf_counter(), _processor_seconds(run.pid)
        run.send_signal(number)
        code = run.wait()
        if code == 0:
            return None
        slowest, busiest = max(slowest, time.perf_counter() - asked), max(busiest, run.processor_seconds - used)
        said = run.said()
        right = code == 130 and said.endswith(f"--out {place} --resume") and "\n" not in said
        if not right:
            problems.append(f"exit {code}: {said[-200:]}")
        return right

    row = _struck(f"{name} to a real run", count, folder, seed, send)
    late = busiest > EXIT_SECONDS or slowest > HANGS_SECONDS
    details = {"slowest_exit_seconds": slowest, "slowest_exit_processor_seconds": busiest}
    return replace(row, corrupted=row.corrupted + late, details=details, problems=[*row.problems, *problems])


def _struck(name: str, count: int, folder: Path, seed: int, strike: Strike) -> Row:
    """Strike runs, some ten times each, and compare their ends with that of a run that was left alone."""
    config, chance = small_run(folder, seed, segments=_SEGMENTS), random.Random(seed)
    whole, place, said = folder / f"whole-{seed}", folder / f"struck-{seed}", folder / f"said-{seed}"
    injected = lost = corrupted = 0
    problems = []
    with Warm() as warm:
        if not (whole / "result.json").exists():
            _finish(warm, config, whole, said, "--overwrite")
        while injected < count:
            shutil.rmtree(place, ignore_errors=True)
            here = 0
            while here < STRIKES_PER_RUN and injected < count:
                run = warm.start(words_of(config, place, *_flags(place)), said)
                after = segments_done(place) + chance.randint(0, _MOST_BETWEEN)
                while run.poll() is None and segments_done(place) <= after:
                    time.sleep(LOOK_SECONDS)
                hit = strike(run, place)
                if hit is None:
                    break
                here, injected, corrupted = here + 1, injected + 1, corrupted + (not hit)
            try:
                _finish(warm, config, place, said, *_flags(place))
                found = difference(place, whole)
                if found is not None:
                    corrupted += 1
                    problems.append(f"{name}: after {here} of them {found} differs.")
            except RuntimeError as error:
                lost += 1
                problems.append(f"{name}: {error}")
    shutil.rmtree(place, ignore_errors=True)
    return Row(name, injected, lost, corrupted, problems=problems)


def _flags(place: Path) -> tuple[str, ...]:
    return ("--resume",) if (place / "config.toml").exists() else ()


def _finish(warm: Warm, config: RunConfig, place: Path, said: Path, *flags: str) -> None:
    run = warm.start(words_of(config, place, *flags), said)
    if run.wait():
        raise RuntimeError(f"exit {run.wait()}: {run.said()[-300:]}")


def _saving(place: Path) -> bool:
    """Return whether a save is half done: a file aside, or tensors without their card."""
    names = {path.name for path in (place / "checkpoints").glob("state-*")}
    half = any(name.endswith(".new") for name in names)
    stems = {suffix: {Path(n).stem for n in names if n.endswith(suffix)} for suffix in (".json", ".safetensors")}
    return half or bool(stems[".safetensors"] - stems[".json"])


def _processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
