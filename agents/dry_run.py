"""What a run would take, from a few steps that are really trained: nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sec_rl.agents.configured import OnTask, configured_controller, configured_task
from sec_rl.agents.reference import read_reference
from sec_rl.backends.bert import BertSession, budget_of, seen_rows
from sec_rl.config import RunConfig
from sec_rl.values import Ratios

# Optimizer steps that are trained: the first half warms up, the second is timed.
_STEPS = 16
# States that are kept while a run trains: the newest, and the one before.
_STATES = 2
# What a finished run folder holds of the dense encoder's bytes: fp32 weights, and a quarter as int8.
_KEPT = 1.25


@dataclass(frozen=True)
class DryRun:
    """What a run would take.

    Attributes:
        passes: example passes; `segments`: it is cut into.
        steps: of the optimizer.
        train_seconds: of training, at the speed of the dense encoder: what is removed makes it faster.
        validation_seconds: of validation after every segment.
        disk_bytes: most that the run folder holds while it trains; `kept_bytes`: most that it holds afterwards.
        threads: of this process.
    """

    passes: int
    segments: int
    steps: int
    train_seconds: float
    validation_seconds: float
    disk_bytes: int
    kept_bytes: int
    threads: int


def dry_run(config: RunConfig, on_task: OnTask | None = None) -> DryRun:
    """Check everything that a run reads, train a few steps, and say what the whole of it would take.

    Args:
        config: the run.
        on_task: called with the checked task before anything is trained.

    Raises:
        InputError: something that was given cannot be used.
    """
    task = configured_task(config, on_task)
    read_reference(config)
    configured_controller(config)
    session = BertSession(_probe(config), task)
    session.open()
    scored = session.validation_seconds / len(session.validation)
    first = session.advance(Ratios(1.0, 0.0), config.levers)
    second = session.advance(Ratios(1.0, 0.0), config.levers)
    rate = (second.example_passes - first.example_passes) / (second.seconds - first.seconds)
    passes = budget_of(config, len(task.train))
    rows = min(seen_rows(config, passes), len(task.validation))
    kept = round(_KEPT * session.dense_bytes)
    return DryRun(
        passes=passes,
        segments=config.n_segments,
        steps=-(-passes // config.batch_size),
        train_seconds=passes / rate,
        validation_seconds=scored * rows * (config.n_segments + 1),
        disk_bytes=kept + _STATES * _array_bytes(session.state()),
        kept_bytes=kept,
        threads=session.threads,
    )


def _probe(config: RunConfig) -> RunConfig:
    """Return the configuration of the few steps; nothing is pruned in them, so blocks need not be timed."""
    changes = {
        "passes": _STEPS * config.batch_size,
        "n_segments": 2,
        "selection": "random",
        "pruning": config.pruning.model_copy(update={"cost": "flops"}),
    }
    return config.model_copy(update=changes)


def _array_bytes(state: Mapping[str, Any]) -> int:
    total = 0
    for value in state.values():
        if isinstance(value, np.ndarray):
            total += value.nbytes
        elif isinstance(value, Mapping):
            total += _array_bytes(value)
    return total
