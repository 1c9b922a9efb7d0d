"""The action cut into a grid, for algorithms that choose among a few actions.

Five values of each entry, from one end of its range to the other: no change is among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = np.linspace(-1.0, 1.0, 5, dtype=np.float32)
# All pairs, (25, 2): change of the data ratio, change of the compression ratio.
_GRID = np.stack(np.meshgrid(_STEPS, _STEPS, indexing="ij"), axis=-1).reshape(-1, 2)
GRID_SIZE = len(_GRID)


def grid_actions(places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the actions, (rows, 2) in [-1, 1], at places (rows,) below `GRID_SIZE`."""
    return _GRID[places]


def grid_distances(actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each action of the grid is from some actions, (rows, 25): the sum over both entries.

    Args:
        actions: (rows, 2); beyond [-1, 1] they count as what is really done.
    """
    bounded = np.clip(actions, -1.0, 1.0)
    distances: NDArray[np.float32] = np.abs(_GRID - bounded[:, None]).sum(axis=2)
    return distances
