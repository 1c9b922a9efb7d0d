"""Seeded, stratified splits for data that comes in one piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_holdout(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows so that every class gives the same share.

    Args:
        labels: (n,) class ids.
        share: share of each class to hold out, in (0, 1); a class with one row stays in training.
        seed: decides which rows.

    Returns:
        indices of the kept and of the held-out rows, each ascending.
    """
    generator = np.random.default_rng(seed)
    held: list[int] = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        n_held = min(max(1, round(share * len(rows))), len(rows) - 1)
        held += rows[:n_held].tolist()
    mask = np.zeros(len(labels), bool)
    mask[held] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
