"""The action: by how much the next segment's ratios change.

=====  ==============================  =========  ===================================================
entry  what                            range      1 stands for
=====  ==============================  =========  ===================================================
0      change of the data ratio        [-1, 1]    +0.5 of the training pool
1      change of the compression       [-1, 1]    +0.25 of the dense prunable cost removed
=====  ==============================  =========  ===================================================

Data and weights must not both shrink hard in one step. When samples and the weights that carry them go together, the
loss is hard to undo (the "critical double loss" of arXiv 2511.09901): later segments have neither the examples to
relearn from nor the capacity to do it. So where an action takes data away *and* compresses, its two entries share one
budget of 1: their magnitudes are scaled down to that sum, keeping the direction. Growing data while compressing, or
the other way round, is not restricted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError
from sec_rl.values import Ratios

ACTION_NAMES = ("data_change", "compression_change")
# Largest change of (data ratio, compression ratio) in one segment.
ACTION_SCALE = (0.5, 0.25)


@dataclass(frozen=True)
class Limits:
    """Where the ratios may go.

    Attributes:
        data_min: smallest data ratio, in (0, data_max].
        data_max: largest data ratio, in [data_min, 1].
        compression_max: largest compression ratio, in [0, 1).
    """

    data_min: float = 0.05
    data_max: float = 1.0
    compression_max: float = 0.95

    def __post_init__(self) -> None:
        if not 0.0 < self.data_min <= self.data_max <= 1.0:
            raise InputError(
                f"data ratios from {self.data_min:g} to {self.data_max:g} were asked for; "
                "the limits must rise and lie in (0, 1]."
            )
        if not 0.0 <= self.compression_max < 1.0:
            raise InputError(f"largest compression ratio is {self.compression_max:g}; it must lie in [0, 1).")

    def clip(self, ratios: Ratios) -> Ratios:
        """Return the nearest ratios within the limits."""
        return Ratios(
            min(max(ratios.data, self.data_min), self.data_max), min(ratios.compression, self.compression_max)
        )


def apply_action(ratios: Ratios, action: NDArray[np.floating], limits: Limits) -> Ratios:
    """Return the ratios of the next segment.

    Args:
        ratios: where the run is.
        action: (2,) in [-1, 1]; values beyond are clipped, joint shrinking is bounded (see the module).
        limits: what the result is clipped to.

    Raises:
        InputError: the action has another shape, or holds NaN or infinity.
    """
    data, compression = bounded_action(action)
    target_data = ratios.data + ACTION_SCALE[0] * data
    target_compression = ratios.compression + ACTION_SCALE[1] * compression
    return Ratios(
        min(max(target_data, limits.data_min), limits.data_max),
        min(max(target_compression, 0.0), limits.compression_max),
    )


def bounded_action(action: NDArray[np.floating]) -> tuple[float, float]:
    """Return the action that is really taken: within [-1, 1], joint shrinking within a budget of 1.

    Raises:
        InputError: the action has another shape, or holds NaN or infinity.
    """
    if action.shape != (2,) or not np.isfinite(action).all():
        raise InputError(f"The action is {action.tolist()}; it must be two finite numbers in [-1, 1].")
    data, compression = (float(value) for value in np.clip(action.astype(np.float64), -1.0, 1.0))
    if data < 0.0 < compression and compression - data > 1.0:
        budget = compression - data
        return data / budget, compression / budget
    return data, compression


def action_towards(ratios: Ratios, target: Ratios) -> NDArray[np.float32]:
    """Return the action that goes from `ratios` to `target`, or as far towards it as one segment may.

    Returns:
        (2,) in [-1, 1].
    """
    change = np.array([target.data - ratios.data, target.compression - ratios.compression])
    action: NDArray[np.float32] = np.clip(change / np.array(ACTION_SCALE), -1.0, 1.0).astype(np.float32)
    return action
