"""Seeded, stratified splits for data that comes in one piece."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def stratified_holdout(
    labels: NDArray[np.int64], n_held: int, seed: int, *, leave: int = 1, keep: Collection[int] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows so that every class gives about the same share.

    Args:
        labels: (n,) class ids.
        n_held: rows to hold out, in [0, n]. Every class gives its share of them, rounded, and at least one where it
            can, so that the sum may differ by up to a row per class.
        seed: decides which rows.
        leave: rows that every class keeps at least; a class that has no more is kept whole.
        keep: rows that must not be held out.

    Returns:
        indices of the kept and of the held-out rows, each ascending.
    """
    generator = np.random.default_rng(seed)
    free = np.ones(len(labels), bool)
    free[list(keep)] = False
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        n_rows = int(np.count_nonzero(labels == label))
        rows = generator.permutation(np.flatnonzero((labels == label) & free))
        share = max(1, round(n_held * n_rows / len(labels)))
        held[rows[: min(share, max(0, n_rows - leave))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
