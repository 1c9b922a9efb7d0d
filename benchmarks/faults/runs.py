"""Whole controlled runs in processes of their own, which are killed and resumed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults.row import Row
from benchmarks.faults.samples import KINDS
from benchmarks.faults.tiny_model import write_tiny_encoder
from sec_rl.config import PruningConfig, RunConfig
from sec_rl.run_folder import to_toml
from sec_rl.values import Levers

# `sec-rl run` as it is, but for a state after every segment instead of one a minute.
_SAVES_OFTEN = """
import sys
from sec_rl.agents import run_state
run_state.SAVE_SECONDS = 0.0
"""
_RUNS = """
from sec_rl.cli import main
sys.argv = ["sec-rl", "run", "--config", sys.argv[1], "--out", sys.argv[2], *sys.argv[3:]]
main()
"""
# Times differ from run to run, and nothing else may.
_TIMES = (
    *("train_seconds", "preparing_seconds", "validation_seconds", "seconds"),
    *("latency_ms", "latency_quantiles_ms", "latency_table_error", "latency_settings"),
)
_KILLS_PER_RUN = 4
# Of the small run.
PASSES, SEGMENTS = 320, 10
# A save of the tiny model takes some milliseconds.
LOOK_SECONDS = 0.0005
# Of the run's own processor time, which neighbours on a busy machine hardly change; and by the clock.
EXIT_SECONDS, HANGS_SECONDS = 10.0, 120.0


def small_run(folder: Path, seed: int, width: int = 16) -> RunConfig:
    """Write a task and an encoder of two layers, and return a run on them in which everything remembers.

    Args:
        folder: of task and encoder; what is there stays.
        seed: of the run.
        width: of the encoder, see `write_tiny_encoder`.
    """
    task, encoder = folder / "task", folder / f"encoder-{width}"
    for place, make in ((task, KINDS["task, csv"].make), (encoder, partial(write_tiny_encoder, width=width))):
        if not place.exists():
            place.mkdir(parents=True)
            make(place)
    return RunConfig(
        task=str(task),
        encoder=str(encoder),
        compression_ratio=0.5,
        data_ratio=0.5,
        passes=PASSES,
        n_segments=SEGMENTS,
        batch_size=4,
        max_length=16,
        seed=seed,
        latency_rounds=1,
        levers=Levers(augmentation_share=0.3, pseudo_label_share=0.2),
        pseudo_label_threshold=0.5,
        perplexity=True,
        precision="fp32",
        pruning=PruningConfig(cost="flops"),
        threads=1,
    )


def trajectory(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a trajectory without their times."""
    lines = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    for line in lines:
        del line["metrics"]["seconds"]
    return lines


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without times and notes."""
    return {
        key: figures(value) if key == "fp32" else value
        for key, value in result.items()
        if key not in (*_TIMES, "dense", "notes", "targets")
    }


def difference(folder: Path, whole: Path) -> str | None:
    """Return in what a finished run differs from one that was never interrupted; None: in nothing but times."""
    if trajectory(folder) != trajectory(whole):
        return "the trajectory"
    ours, theirs = (json.loads((each / "result.json").read_text()) for each in (folder, whole))
    if figures(ours) != figures(theirs):
        return "result.json"
    for name in ("model.safetensors", "model.onnx"):
        if (folder / "model" / name).read_bytes() != (whole / "model" / name).read_bytes():
            return name
    return None


def start_run(
    config: RunConfig,
    folder: Path,
    *flags: str,
    before: str = "",
    around: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a run that saves after every segment.

    Args:
        config: the run.
        folder: its folder.
        flags: of `sec-rl run`, more of them.
        before: lines of Python that prepare a fault; `run_state` is imported by then.
        around: command that starts the process instead, and its arguments.
        environment: variables that are added.
    """
    settings = folder.parent / f"{folder.name}.toml"
    settings.write_text(to_toml(config.model_dump()))
    script = _SAVES_OFTEN + before + _RUNS
    words = [*around, sys.executable, "-c", script, str(settings), str(folder), "--quiet", *flags]
    added = {**os.environ, **(environment or {})}
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=added)


def segments_done(folder: Path) -> int:
    """Return how many lines a trajectory has."""
    path = folder / "trajectory.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def finish(config: RunConfig, folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
    """Run to the end; see `start_run`."""
    process = start_run(config, folder, *flags, environment=environment)
    said = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {said.strip()[-300:]}")


def kill_runs(count: int, folder: Path, seed: int) -> tuple[Row, Row]:
    """Kill real runs again and again, every second time inside a save, and compare what comes out.

    Returns:
        the row of the kills inside a save, and that of all others.
    """
    config, chance = small_run(folder, seed), random.Random(seed)
    whole = folder / f"whole-{seed}"
    if not (whole / "result.json").exists():
        finish(config, whole, "--overwrite")
    counts, lost, corrupted, problems = {True: 0, False: 0}, 0, 0, []
    while sum(counts.values()) < count:
        place = folder / f"killed-{seed}"
        shutil.rmtree(place, ignore_errors=True)
        injected = 0
        while injected < _KILLS_PER_RUN and sum(counts.values()) < count:
            flags = ("--resume",) if (place / "config.toml").exists() else ()
            inside = _kill_one(config, place, flags, chance, aim_inside=bool(sum(counts.values()) % 2 == 0))
            if inside is None:
                break
            counts[inside] += 1
            injected += 1
        try:
            finish(config, place, *(("--resume",) if (place / "config.toml").exists() else ()))
            found = difference(place, whole)
            if found is not None:
                corrupted += 1
                problems.append(f"After {injected} kills {found} differs.")
        except RuntimeError as error:
            lost += 1
            problems.append(str(error))
    return (
        Row("SIGKILL of a real run inside a save", counts[True], lost, corrupted, problems=problems),
        Row("SIGKILL of a real run elsewhere", counts[False], lost, corrupted),
    )


def _kill_one(
    config: RunConfig, place: Path, flags: Sequence[str], chance: random.Random, *, aim_inside: bool
) -> bool | None:
    """Kill a run at some moment; return whether it was inside a save, None where it ended before."""
    process = start_run(config, place, *flags)
    began = segments_done(place)
    after = began + chance.randint(0, 4)
    while process.poll() is None and segments_done(place) <= after:
        time.sleep(LOOK_SECONDS)
    if aim_inside:
        while process.poll() is None and not _saving(place):
            time.sleep(LOOK_SECONDS)
    else:
        time.sleep(chance.uniform(0.0, 0.1))
    process.kill()
    process.communicate()
    return None if process.returncode != -signal.SIGKILL else _saving(place)


def _saving(place: Path) -> bool:
    """Return whether a save is half done: a file aside, or tensors without their card."""
    names = {path.name for path in (place / "checkpoints").glob("state-*")}
    half = any(name.endswith(".new") for name in names)
    stems = {suffix: {Path(n).stem for n in names if n.endswith(suffix)} for suffix in (".json", ".safetensors")}
    return half or bool(stems[".safetensors"] - stems[".json"])


def signal_runs(name: str, count: int, folder: Path, seed: int) -> Row:
    """Send SIGTERM or SIGINT to real runs: they must say how to go on, in time, and go on to the same end."""
    config, chance = small_run(folder, seed), random.Random(seed)
    whole, number = folder / f"whole-{seed}", signal.Signals[name]
    if not (whole / "result.json").exists():
        finish(config, whole, "--overwrite")
    injected = lost = corrupted = 0
    slowest, busiest, problems = 0.0, 0.0, []
    while injected < count:
        place = folder / f"stopped-{seed}"
        shutil.rmtree(place, ignore_errors=True)
        process = start_run(config, place)
        after = chance.randint(1, 8)
        while process.poll() is None and segments_done(place) <= after:
            time.sleep(LOOK_SECONDS)
        time.sleep(chance.uniform(0.0, 0.05))
        asked, used = time.perf_counter(), _processor_seconds(process.pid)
        process.send_signal(number)
        assert process.stderr is not None  # it is a pipe
        said = process.stderr.read().strip()
        used_in_all = _processor_seconds(process.pid)
        process.wait()
        if process.returncode == 0:
            continue
        injected += 1
        slowest, busiest = max(slowest, time.perf_counter() - asked), max(busiest, used_in_all - used)
        if process.returncode != 130 or not said.endswith(f"--out {place} --resume") or "\n" in said:
            problems.append(f"exit {process.returncode}: {said[-200:]}")
            corrupted += 1
        try:
            finish(config, place, "--resume")
            corrupted += difference(place, whole) is not None
        except RuntimeError as error:
            lost += 1
            problems.append(str(error))
    corrupted += busiest > EXIT_SECONDS or slowest > HANGS_SECONDS
    details = {"slowest_exit_seconds": slowest, "slowest_exit_processor_seconds": busiest}
    return Row(f"{name} to a real run", injected, lost, corrupted, details, problems)


def _processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used; it may have ended, but not been waited for."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
