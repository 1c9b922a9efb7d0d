"""Training that goes wrong: noticed within the step, taken back with the segment, tried again more slowly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from sec_rl.errors import SecRlError

# A fresh head on 150 classes starts at 5; a teacher and a language head add less than 20.
MOST_LOSS = 1e3
# How often a run goes back before it gives up.
MOST_SETBACKS = 3


class TrainingDivergedError(SecRlError):
    """A loss, a gradient or a prediction became infinite or no number, or the loss exploded."""


def check_loss(value: float) -> None:
    """Raise TrainingDivergedError for a loss that is no number, or beyond what any sound step gives."""
    if not math.isfinite(value):
        raise TrainingDivergedError(f"The training loss became {value}.")
    if value > MOST_LOSS:
        raise TrainingDivergedError(f"The training loss became {value:.3g}; beyond {MOST_LOSS:g} it has exploded.")


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the norm of all gradients together.

    Raises:
        TrainingDivergedError: it is infinite or no number.
    """
    norm: Tensor = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if not math.isfinite(norm.item()):
        raise TrainingDivergedError(f"The norm of the gradients became {norm.item()}.")
    return norm


@dataclass(frozen=True)
class Setback:
    """A segment that was started again.

    Attributes:
        segment: that diverged.
        example_passes: of the run when it was noticed; what the segment had trained until then is lost.
        reason: in a sentence.
        rate_scale: what the learning rate is multiplied with from then on, in (0, 1).
    """

    segment: int
    example_passes: int
    reason: str
    rate_scale: float


@dataclass
class Setbacks:
    """All of a run; every one halves the learning rate.

    Attributes:
        found: in order.
    """

    found: list[Setback] = field(default_factory=list)

    @property
    def rate_scale(self) -> float:
        """What the learning rate is multiplied with, in (0, 1]."""
        return self.found[-1].rate_scale if self.found else 1.0

    def add(self, segment: int, example_passes: int, error: TrainingDivergedError) -> None:
        """Write one down.

        Raises:
            TrainingDivergedError: there were too many.
        """
        if len(self.found) >= MOST_SETBACKS:
            raise TrainingDivergedError(
                f"{error} That was in segment {segment}, after {len(self.found)} returns to the start of a segment "
                f"and {self.rate_scale:g} of the learning rate; the run gave up. Give a lower --learning-rate."
            ) from error
        self.found.append(Setback(segment, example_passes, str(error), self.rate_scale / 2.0))

    def of(self, segment: int) -> list[dict[str, Any]]:
        """Return those of a segment, JSON-ready."""
        return [asdict(each) for each in self.found if each.segment == segment]

    def notes(self) -> list[str]:
        """Return a sentence on each."""
        return [
            f"Segment {each.segment} diverged and went on from its start, at {each.rate_scale:g} of the learning "
            f"rate: {each.reason}"
            for each in self.found
        ]

    def state(self) -> list[dict[str, Any]]:
        """Return all, JSON-ready."""
        return [asdict(each) for each in self.found]

    @classmethod
    def from_state(cls, state: Iterable[dict[str, Any]]) -> Setbacks:
        """Return what `state` was taken from."""
        return cls([Setback(**each) for each in state])
