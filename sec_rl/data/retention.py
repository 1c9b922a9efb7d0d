"""Which bought examples stay in use when the data ratio is lowered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError


def most_informative(probabilities: NDArray[np.float32], labels: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Keep the examples with the largest error norm (EL2N, Paul et al. 2021, eq. 3), each class at its share.

    Hardest-first alone loses easy classes. Keeping the shares, and at least one example of each class while `n`
    allows it (the largest classes first), does not.

    Args:
        probabilities: (m, classes) of the current model.
        labels: (m,) true classes.
        n: how many to keep, in [0, m].

    Returns:
        (n,) row indices, ascending.

    Raises:
        InputError: `n` is out of range.
    """
    if not 0 <= n <= len(labels):
        raise InputError(f"{n} examples are to be kept; {len(labels)} are there.")
    residual = probabilities.astype(np.float64).copy()
    residual[np.arange(len(labels)), labels] -= 1.0
    error = np.sqrt((residual**2).sum(axis=1))
    # Ranking by (rank within class) / (class size) takes the same share of each class, hardest first; the hardest of
    # each class comes before all that.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = rows[np.argsort(-error[rows], kind="stable")]
        place[order] = (np.arange(len(rows)) + 0.5) / len(rows)
        place[order[0]] -= 1.0
    return np.sort(np.argsort(place, kind="stable")[:n]).astype(np.int64)
