"""Whole controlled runs in processes of their own, small ones in which everything remembers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
sys.argv[0] = "sec-rl"
main()
"""
# Times differ from run to run, and nothing else may.
_TIMES = (
    *("train_seconds", "preparing_seconds", "validation_seconds", "seconds"),
    *("latency_ms", "latency_quantiles_ms", "latency_table_error", "latency_settings"),
)
# Of the small run.
PASSES_PER_SEGMENT, SEGMENTS = 32, 10
# A save of the tiny model takes some milliseconds.
LOOK_SECONDS = 0.0005


def small_run(folder: Path, seed: int, width: int = 16, segments: int = SEGMENTS) -> RunConfig:
    """Write a task and an encoder of two layers, and return a run on them in which everything remembers.

    Args:
        folder: of task and encoder; what is there stays.
        seed: of the run.
        width: of the encoder, see `write_tiny_encoder`.
        segments: of the run.
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
        passes=PASSES_PER_SEGMENT * segments,
        n_segments=segments,
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


def words_of(config: RunConfig, folder: Path, *flags: str) -> list[str]:
    """Return the arguments of `sec-rl` for a run, whose configuration is written beside its folder."""
    settings = folder.parent / f"{folder.name}.toml"
    settings.write_text(to_toml(config.model_dump()))
    return ["run", "--config", str(settings), "--out", str(folder), "--quiet", *flags]


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
    script = _SAVES_OFTEN + before + _RUNS
    words = [*around, sys.executable, "-c", script, *words_of(config, folder, *flags)]
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
