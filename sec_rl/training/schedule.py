"""The learning rate over a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WARM_UP = 0.1


def rate_at(progress: float, peak: float) -> float:
    """Return the learning rate at `progress` in [0, 1]: linear warm-up, then linear decay to zero."""
    return peak * float(rates_at(np.float64(progress)))


def rates_at(progress: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Return the same for many, relative to the peak."""
    return np.where(progress < WARM_UP, progress / WARM_UP, (1.0 - progress) / (1.0 - WARM_UP))
