"""Pseudo-labels on the still unlabelled pool.

The label is taken from the plain text and trained on its augmented copy, so that agreement under augmentation is what
is learned (FixMatch, Sohn et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError


@dataclass(frozen=True)
class PseudoLabels:
    """Rows the model is sure of.

    Attributes:
        rows: (m,) indices into the scored rows.
        labels: (m,) predicted classes.
        confidences: (m,) probability of the predicted class.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    confidences: NDArray[np.float32]


def pseudo_labels(probabilities: NDArray[np.float32], *, threshold: float, limit: int | None = None) -> PseudoLabels:
    """Label the rows whose most probable class exceeds `threshold`.

    Args:
        probabilities: (n, classes).
        threshold: in [0, 1).
        limit: most rows to return, at least 0. Where more are confident, each class gets at most its even share, most
            confident first, since confident rows lean towards the easy classes (FlexMatch, Zhang et al. 2021). That
            may be fewer than `limit`: a rare class is not made up for by a common one.

    Raises:
        InputError: threshold or limit is out of range.
    """
    if not 0.0 <= threshold < 1.0:
        raise InputError(f"pseudo-label threshold is {threshold:g}; it must lie in [0, 1).")
    if limit is not None and limit < 0:
        raise InputError(f"limit of pseudo-labels is {limit}; it must be at least 0.")
    n_classes = probabilities.shape[1]
    labels = probabilities.argmax(axis=1)
    confidences = probabilities.max(axis=1)
    rows = np.flatnonzero(confidences > threshold)
    if limit is not None and len(rows) > limit:
        rank = np.empty(len(rows), np.int64)
        for label in range(n_classes):
            own = np.flatnonzero(labels[rows] == label)
            rank[own[np.argsort(-confidences[rows[own]], kind="stable")]] = np.arange(len(own))
        # Round-robin over the classes, so that a share that is no whole number is cut at the least confident rows.
        order = np.lexsort((-confidences[rows], rank))[:limit]
        rows = np.sort(rows[order[rank[order] < -(-limit // n_classes)]])
    return PseudoLabels(rows.astype(np.int64), labels[rows].astype(np.int64), confidences[rows])
