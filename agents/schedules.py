"""Schedules without learning: what every learned controller has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError, unknown_name
from sec_rl.values import Ratios

# Pruning starts once the dense model has learned enough to teach, and ends early enough to recover.
PRUNING_START = 0.3
PRUNING_END = 0.7
# Labels are bought until here, this share of them before training: active learning chooses the better the more the
# model knows, and what is bought last still needs to be learned from.
BUYING_END, FIRST_PURCHASE = 0.6, 0.15


@dataclass(frozen=True)
class Schedule:
    """Target ratios as a function of progress.

    Attributes:
        name: key of `SCHEDULES`.
        data_ratio: share of the pool in use at the end, in (0, 1].
        compression_ratio: share of the prunable cost removed at the end, in [0, 1).
        seed: decides the random schedule's walk.
        n_segments: segments of the run.
        pruning_start: progress at which the cubic schedule leaves 0, in [0, 1).
        pruning_end: progress at which it arrives, in (pruning_start, 1].
        first_purchase: share of the labels to buy that is bought before training, in (0, 1]; 1 where they are
            chosen at random, since a random choice gains nothing by waiting.

    Raises:
        InputError: the name is unknown, or pruning starts after it ends.
    """

    name: str
    data_ratio: float
    compression_ratio: float
    seed: int = 0
    n_segments: int = 16
    pruning_start: float = PRUNING_START
    pruning_end: float = PRUNING_END
    first_purchase: float = FIRST_PURCHASE

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise unknown_name("schedule", self.name, SCHEDULES)
        if not 0.0 <= self.pruning_start < self.pruning_end <= 1.0:
            raise InputError(
                f"pruning starts at {self.pruning_start:g} and ends at {self.pruning_end:g} of the run; "
                "they must rise and lie in [0, 1]."
            )

    def __call__(self, progress: float) -> Ratios:
        """Return the ratios of the segment that starts at `progress`, in [0, 1)."""
        return SCHEDULES[self.name](self, progress)


def share_bought(progress: NDArray[np.float64] | float, first: float = FIRST_PURCHASE) -> NDArray[np.float64]:
    """Return how much of the labels to buy is bought at a progress in [0, 1]: a line from `first` to 1."""
    share: NDArray[np.float64] = first + (1.0 - first) * np.minimum(1.0, progress / BUYING_END)
    return share


def paced_ratio(
    data_ratio: NDArray[np.float64] | float, progress: NDArray[np.float64] | float, first: float = FIRST_PURCHASE
) -> NDArray[np.float64]:
    """Return the data ratio at a progress in [0, 1] on the way to `data_ratio`; with all labels nothing is chosen."""
    ratio: NDArray[np.float64] = np.where(
        np.asarray(data_ratio) >= 1.0, 1.0, data_ratio * share_bought(progress, first)
    )
    return ratio


def _data(schedule: Schedule, progress: float) -> float:
    return float(paced_ratio(schedule.data_ratio, progress, schedule.first_purchase))


def _dense(schedule: Schedule, progress: float) -> Ratios:
    return Ratios(_data(schedule, progress), 0.0)


def _fixed(schedule: Schedule, progress: float) -> Ratios:
    return Ratios(_data(schedule, progress), schedule.compression_ratio)


def _cubic(schedule: Schedule, progress: float) -> Ratios:
    """Rise as 1 - (1 - t)^3 between start and end (Zhu & Gupta 2017, eq. 1).

    A segment aims at the ratio of its own end, so the last step lands exactly on the target.
    """
    ahead = progress + 1.0 / schedule.n_segments
    t = float(np.clip((ahead - schedule.pruning_start) / (schedule.pruning_end - schedule.pruning_start), 0.0, 1.0))
    return Ratios(_data(schedule, progress), schedule.compression_ratio * (1.0 - (1.0 - t) ** 3))


def _random(schedule: Schedule, progress: float) -> Ratios:
    """Walk at random from the first purchase and no compression to anywhere within the two ratios."""
    generator = np.random.default_rng(schedule.seed)
    steps = generator.uniform(-0.5, 1.0, (schedule.n_segments, 2))
    index = min(round(progress * schedule.n_segments), schedule.n_segments - 1)
    walk = np.zeros(2)
    for step in steps[: index + 1]:
        walk = np.clip(walk + 0.2 * step, 0.0, 1.0)
    first = schedule.first_purchase
    data = schedule.data_ratio * (first + (1.0 - first) * float(walk[0]))
    return Ratios(data, schedule.compression_ratio * float(walk[1]))


SCHEDULES: Mapping[str, Callable[[Schedule, float], Ratios]] = {
    "dense": _dense,
    "fixed": _fixed,
    "cubic": _cubic,
    "random": _random,
}
