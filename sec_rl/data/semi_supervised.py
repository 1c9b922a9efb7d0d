"""Pseudo-labels on the still unlabelled pool.

The label is taken from the plain text and trained on its augmented copy, so that agreement under augmentation is what
is learned (FixMatch, Sohn et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        limit: most rows to return; each class then gets at most its even share, most confident first, since
            confident rows lean towards the easy classes (FlexMatch, Zhang et al. 2021).
    """
    labels = probabilities.argmax(axis=1)
    confidences = probabilities.max(axis=1)
    rows = np.flatnonzero(confidences > threshold)
    if limit is not None and len(rows) > limit:
        per_class = -(-limit // probabilities.shape[1])
        kept: list[int] = []
        for label in range(probabilities.shape[1]):
            own = rows[labels[rows] == label]
            kept += own[np.argsort(-confidences[own], kind="stable")][:per_class].tolist()
        rows = np.array(sorted(kept), np.int64)
    return PseudoLabels(rows.astype(np.int64), labels[rows].astype(np.int64), confidences[rows])
