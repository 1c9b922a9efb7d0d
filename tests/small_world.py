"""The program among small things: an encoder of two layers, tasks of 400 rows, clocks that take no time.

Everything else is what people run: commands are parsed, texts tokenized, models trained, pruned, exported, scored and
reported. What is made up is what a test has no time for: latencies follow from the size of a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.faults.tiny_model import write_tiny_encoder
from sec_rl import encoders
from sec_rl.agents import (
    artefact_latency,
    calibrate,
    collect,
    episode_plan,
    fit_noise,
    latency_scale,
    learn,
    replay,
    replay_config,
    train,
    tuning,
)
from sec_rl.agents.learners import cloning
from sec_rl.agents.training_plan import TrainingPlan
from sec_rl.agents.tuning import tune_schedules
from sec_rl.backends import bert, pruning
from sec_rl.measurement.latency import LatencySettings, LatencyStats, LatencyTarget, summarise
from sec_rl.tasks import loading
from sec_rl.tasks.packaged import PACKAGED_TASKS, PackagedTask
from sec_rl.tasks.rows import RawRows
from sec_rl.workers import Crew, Job

SEGMENTS = 6
_ROWS, _PASSES = 400, 160
_DENSE_MS, _BYTES_PER_MS = 60.0, 5_000.0


def make_small(patch: pytest.MonkeyPatch, encoder: Path) -> None:
    """Make the program small until `patch` is undone.

    Args:
        patch: keeps what was.
        encoder: empty folder; every packaged encoder is the one that is written there.
    """
    write_tiny_encoder(encoder, width=64, tokens=128)
    names = encoders.PACKAGED_ENCODERS
    patch.setattr(encoders, "PACKAGED_ENCODERS", dict.fromkeys(names, lambda: str(encoder)))
    patch.setattr(loading, "PACKAGED_TASKS", {name: _few(task) for name, task in PACKAGED_TASKS.items()})
    patch.setattr(bert, "MIN_PASSES", _PASSES)
    patch.setattr(bert, "MAX_PASSES", _PASSES)
    whole = replay_config.replay_config
    for module in (replay_config, replay):
        patch.setattr(
            module, "replay_config", lambda **asked: whole(**asked).model_copy(update={"n_segments": SEGMENTS})
        )
    # Threads of so small a model only wait for each other.
    patch.setattr(bert, "usable_cores", lambda: 1)
    patch.setattr(pruning, "time_onnx_models", lambda models, threads: np.array([len(m) for m in models]) / 1e4)
    for module in (artefact_latency, latency_scale):
        patch.setattr(module, "measure_latencies", _clock)
    few = {"warm_up": 10, "n_epochs": 1}
    patch.setattr(
        learn, "TrainingPlan", partial(TrainingPlan, lanes=32, evaluate_every=1024, episodes=32, settings=few)
    )
    patch.setattr(train, "tune_schedules", partial(tune_schedules, episodes=32))
    patch.setattr(train, "_FINAL_EPISODES", 32)
    for name in ("DATA_RATIOS", "COMPRESSION_RATIOS"):
        patch.setattr(tuning, name, (0.5,))
    for name, value in (("_SHOWN_EPISODES", 32), ("_FEWEST_STEPS", 10), ("_MOST_STEPS", 10)):
        patch.setattr(cloning, name, value)
    for module, name, value in ((calibrate, "MEMBERS", 1), (calibrate, "EPOCHS", 1), (fit_noise, "_DRAWS", 20)):
        patch.setattr(module, name, value)
    # Episodes are recorded by this process, the only one that is small.
    patch.setattr(episode_plan, "SETTINGS", ((100, 160), (200, 160)))
    patch.setattr(episode_plan, "SEGMENTS", (SEGMENTS,))
    patch.setattr(Crew, "open", lambda _: contextlib.nullcontext())
    patch.setattr(collect, "run_jobs", _in_turn)


def _few(task: PackagedTask) -> PackagedTask:
    def read() -> RawRows:
        rows = task.read()
        # Some files are sorted by class.
        chosen = np.random.default_rng(0).permutation(len(rows.texts))[:_ROWS]

        def pick(values: Sequence[Any]) -> list[Any]:
            return [values[i] for i in chosen]

        return replace(rows, texts=pick(rows.texts), labels=pick(rows.labels), places=pick(rows.places))

    return PackagedTask(task.info, read)


def _clock(targets: Sequence[LatencyTarget], settings: LatencySettings) -> dict[str, dict[int, LatencyStats]]:
    def stats(target: LatencyTarget, batch: int) -> LatencyStats:
        whole = _DENSE_MS if target.kind == "torch" else Path(target.path).stat().st_size / _BYTES_PER_MS
        return summarise([[whole * batch / 32] * 3] * 3)

    return {target.name: {batch: stats(target, batch) for batch in settings.batch_sizes} for target in targets}


def _in_turn(
    _hosts: object, work: Callable[[Job], Any], jobs: Sequence[Job], *, on_done: Callable[[Job, Any], None], **_: Any
) -> None:
    for job in jobs:
        on_done(job, work(job))


def rows_of_words(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return texts that the small encoder can tell apart, each with its label."""
    generator = np.random.default_rng(seed)
    found: NDArray[np.int64] = generator.integers(0, 2, n)
    return [
        (f"a {('bad', 'good')[label]} film, number {seed}-{i}", ("down", "up")[label])
        for i, label in enumerate(found)
    ]
