"""Size and latency as functions of the compression ratio: what the latency table and the blocks' bytes add up to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_KNOTS = np.linspace(0.0, 0.96, 13)


@dataclass(frozen=True)
class CostCurves:
    """What a compression ratio saves, linear between knots.

    Attributes:
        knots: (knots,) compression ratios, rising from 0.
        latency: (knots,) share of the dense model's latency that is left.
        size: (knots,) bytes saved over dense fp32 bytes.
    """

    knots: Array
    latency: Array
    size: Array

    def latency_ratio(self, compression: Array) -> Array:
        """Return predicted latency over that of the dense model in the same format."""
        return np.interp(compression, self.knots, self.latency)

    def size_saved(self, compression: Array) -> Array:
        """Return bytes saved over dense fp32 bytes."""
        return np.interp(compression, self.knots, self.size)

    def size_ratio(self, compression: Array, size_open: Array) -> Array:
        """Return predicted bytes over dense fp32 bytes, given those of the opened session."""
        return np.maximum(size_open - self.size_saved(compression), 1e-3)


def fit_curves(compression: Array, latency_ratio: Array, size_saved: Array) -> CostCurves:
    """Fit both curves to what sessions reported.

    Args:
        compression: (rows,) ratios that were reached.
        latency_ratio: (rows,) as the table predicted it.
        size_saved: (rows,) size ratio of the opened session minus that of the row.
    """
    basis = np.stack([np.interp(compression, _KNOTS, row) for row in np.eye(len(_KNOTS))], axis=1)
    # A little smoothness decides knots that no row is near.
    bend = 0.05 * np.diff(np.eye(len(_KNOTS)), 2, axis=0)

    def fitted(values: Array, at_zero: float) -> Array:
        system = np.concatenate([basis, bend, 1e3 * np.eye(len(_KNOTS))[:1]])
        target = np.concatenate([values, np.zeros(len(bend)), [1e3 * at_zero]])
        knots: Array = np.linalg.lstsq(system, target, rcond=None)[0]
        return knots

    latency = np.minimum.accumulate(np.maximum(fitted(latency_ratio, 1.0), 1e-3))
    return CostCurves(_KNOTS, latency, np.maximum.accumulate(np.maximum(fitted(size_saved, 0.0), 0.0)))
