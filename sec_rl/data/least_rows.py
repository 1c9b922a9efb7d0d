"""How few rows a run may learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A class that no row is of cannot be predicted, and margins between the others say nothing of it. Begun with 54
# labels of 150 classes, labels chosen by margin were worth less than as many drawn by lot.
ROWS_PER_CLASS = 2


def least_rows(
    batch_size: int, n_classes: NDArray[np.float64] | int, most: NDArray[np.float64] | int
) -> NDArray[np.float64]:
    """Return the fewest rows that are in use: a batch, and two for each class where there may be as many.

    Args:
        batch_size: of a step.
        n_classes: of the task.
        most: how many rows may ever be bought; a batch may be more.
    """
    found: NDArray[np.float64] = np.maximum(batch_size, np.minimum(ROWS_PER_CLASS * np.asarray(n_classes), most))
    return found
