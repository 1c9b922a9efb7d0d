"""Numbers that are none, or far too large, in the middle of training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.faults.row import Row
from benchmarks.faults.runs import PASSES_PER_SEGMENT, small_run
from sec_rl.backends.bert import BertSession
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.config import RunConfig
from sec_rl.tasks import load_task
from sec_rl.training.divergence import MOST_SETBACKS, TrainingDivergedError
from sec_rl.values import Levers, Ratios

Poison = Callable[[Tensor], Tensor]
_RATIOS = Ratios(0.5, 0.0)


class _Gradient(torch.autograd.Function):
    """Passes values on, and no number back."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * torch.nan


POISONS: dict[str, Poison] = {
    "logits": lambda logits: logits * torch.nan,
    "infinite loss": lambda logits: logits * torch.inf,
    # By then the model is right about some of the batch.
    "exploding loss": lambda logits: logits * -1e9,
    "gradient": _Gradient.apply,
}


@contextlib.contextmanager
def poisoned(how: Poison, hits: Callable[[int], bool]) -> Iterator[list[int]]:
    """Spoil what the model says in the training steps for which `hits` is true.

    Args:
        how: what becomes of the logits.
        hits: takes the number of a step, from 1 since the poisoning began.

    Yields:
        one number, that of steps until now.
    """
    sound, steps = SlimEncoderForSequenceClassification.encode, [0]

    def encode(self: Any, *args: Any, **inputs: Any) -> Any:
        logits, pooled, after = sound(self, *args, **inputs)
        if not self.training or not torch.is_grad_enabled():
            return logits, pooled, after
        steps[0] += 1
        return (how(logits) if hits(steps[0]) else logits), pooled, after

    SlimEncoderForSequenceClassification.encode = encode  # type: ignore[method-assign]
    try:
        yield steps
    finally:
        SlimEncoderForSequenceClassification.encode = sound  # type: ignore[method-assign]


def poison_training(name: str, count: int, folder: Path, seed: int) -> Row:
    """Spoil one step of a segment, again and again: the step must be noticed, the segment trained.

    Args:
        name: of `POISONS`.
        count: steps that are spoilt in all.
        folder: of task and encoder.
        seed: of the steps that are hit.
    """
    config = small_run(folder, seed).model_copy(update={"perplexity": False})
    task, chance = load_task(config.task), np.random.default_rng(seed)
    steps = PASSES_PER_SEGMENT // config.batch_size
    injected = lost = corrupted = 0
    while injected < count:
        session = BertSession(config, task)
        session.open()
        for _ in range(min(MOST_SETBACKS, count - injected)):
            step = int(chance.integers(1, steps + 1))
            injected += 1
            try:
                corrupted += not _taken_back(session, config, POISONS[name], step)
            except TrainingDivergedError:
                lost += 1
                break
    return Row(f"no number, or far too large a one, in training: {name}", injected, lost, corrupted)


def _taken_back(session: BertSession, config: RunConfig, how: Poison, step: int) -> bool:
    """Spoil a step of the next segment; return whether it was noticed within the step, and nothing came of it."""
    before, known = session.passes_done, len(session.setbacks.found)
    with poisoned(how, lambda number: number == step):
        metrics = session.advance(_RATIOS, Levers())
    new = session.setbacks.found[known:]
    noticed = [each.example_passes for each in new] == [before + (step - 1) * config.batch_size]
    weights = all(bool(torch.isfinite(value).all()) for value in session.model.state_dict().values())
    budget = metrics.example_passes == before + PASSES_PER_SEGMENT
    return noticed and weights and budget and math.isfinite(metrics.validation_loss)
