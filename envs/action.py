"""The action: by how much the next segment's ratios change, and in the wider mode how they are realised.

=====  ==============================  =========  ===================================================
entry  what                            range      1 stands for
=====  ==============================  =========  ===================================================
0      change of the data ratio        [-1, 1]    +0.5 of the training pool
1      change of the compression       [-1, 1]    +0.25 of the dense prunable cost removed
2      augmentation strength           [-1, 1]    0.3 of a text's words, in half of the batch; -1: none
3      pseudo-label share              [-1, 1]    half of the batch; -1: none
4      distillation weight             [-1, 1]    the teacher alone; -1: the labels alone
5      depth share                     [-1, 1]    whole layers only; -1: what loses least
=====  ==============================  =========  ===================================================

Entries 2 to 5 exist with ``action_mode="levers"`` only; they are settings, not changes.

Data and weights must not both shrink hard in one step. When samples and the weights that carry them go together, the
loss is hard to undo (the "critical double loss" of arXiv 2511.09901): later segments have neither the examples to
relearn from nor the capacity to do it. So where an action takes data away *and* compresses, its two entries share one
budget of 1: their magnitudes are scaled down to that sum, keeping the direction. Growing data while compressing, or
the other way round, is not restricted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.batch import Lanes
from sec_rl.errors import InputError
from sec_rl.values import Levers, Ratios

ActionMode = Literal["ratios", "levers"]
ACTION_NAMES = ("data_change", "compression_change")
LEVER_NAMES = ("augmentation_strength", "pseudo_label_share", "distillation_weight", "depth_share")
# Largest change of (data ratio, compression ratio) in one segment.
ACTION_SCALE = (0.5, 0.25)
# What a lever's entry of 1 stands for.
_LEVER_SCALE = (0.3, 0.5, 1.0, 1.0)
# Share of a batch that is augmented at full strength.
_AUGMENTED = 0.5
# Share of a run that is kept for recovery after the last removal: its learning rate is low, it heals little.
LANDING = 0.2


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


def action_names(mode: ActionMode) -> tuple[str, ...]:
    """Return the names of an action's entries."""
    return ACTION_NAMES if mode == "ratios" else ACTION_NAMES + LEVER_NAMES


def apply_action(ratios: Ratios, action: NDArray[np.floating], limits: Limits) -> Ratios:
    """Return the ratios of the next segment.

    Args:
        ratios: where the run is.
        action: (2,) in [-1, 1]; values beyond are clipped, joint shrinking is bounded (see the module).
        limits: what the result is clipped to.

    Raises:
        InputError: the action has another shape, or holds NaN or infinity.
    """
    check_action(action, "ratios")
    now = np.array([[ratios.data, ratios.compression]])
    data, compression = apply_actions(now, np.asarray(action, np.float64)[None], limits)[0]
    return Ratios(float(data), float(compression))


def apply_actions(ratios: NDArray[np.float64], actions: NDArray[np.floating], limits: Limits) -> NDArray[np.float64]:
    """Return the ratios of many runs' next segments.

    Args:
        ratios: (lanes, 2) data and compression ratio.
        actions: (lanes, 2), finite.
        limits: what the result is clipped to.

    Returns:
        (lanes, 2).
    """
    moved = ratios + np.array(ACTION_SCALE) * bounded_actions(actions)
    low, high = [limits.data_min, 0.0], [limits.data_max, limits.compression_max]
    clipped: NDArray[np.float64] = np.clip(moved, low, high)
    return clipped


def bounded_actions(actions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the actions that are really taken, (lanes, 2): within [-1, 1], joint shrinking within a budget of 1."""
    clipped = np.clip(actions.astype(np.float64), -1.0, 1.0)
    data, compression = clipped.T
    budget = compression - data
    over: NDArray[np.bool_] = (data < 0.0) & (compression > 0.0) & (budget > 1.0)
    return clipped / np.where(over, budget, 1.0)[:, None]


def check_action(action: NDArray[np.floating], mode: ActionMode) -> None:
    """Check an action's shape and values.

    Raises:
        InputError: the action has another shape, or holds NaN or infinity.
    """
    n = len(action_names(mode))
    if action.shape != (n,) or not np.isfinite(action).all():
        count = "two" if n == 2 else str(n)
        raise InputError(f"The action is {action.tolist()}; it must be {count} finite numbers in [-1, 1].")


def levers_from(action: NDArray[np.floating], base: Levers) -> Levers:
    """Return the levers that entries 2 to 5 of an action ask for; those of `base` where it has none.

    Args:
        action: (2,) or (6,); values beyond [-1, 1] are clipped.
        base: levers of the run.
    """
    if len(action) == len(ACTION_NAMES):
        return base
    return Levers(*map(float, lever_settings(action[None])[0]))


def lever_settings(actions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the levers that entries 2 to 5 of many runs' actions ask for, (lanes, 5) in the order of `Levers`.

    Args:
        actions: (lanes, 6); values beyond [-1, 1] are clipped.
    """
    shares = (np.clip(actions[:, 2:].astype(np.float64), -1.0, 1.0) + 1.0) / 2.0
    strength, *others = (shares * np.array(_LEVER_SCALE)).T
    return np.stack([strength, shares[:, 0] * _AUGMENTED, *others], axis=1)


def lever_entries(levers: Levers) -> NDArray[np.float32]:
    """Return entries 2 to 5 of the action that asks for levers, (4,) in [-1, 1]; the share that is augmented follows.

    Without an augmented share there is no augmentation, whatever its strength.
    """
    strength = levers.augmentation_strength if levers.augmentation_share > 0.0 else 0.0
    values = (strength, levers.pseudo_label_share, levers.distillation_weight, levers.depth_share)
    entries: NDArray[np.float32] = np.clip(2.0 * np.array(values) / np.array(_LEVER_SCALE) - 1.0, -1.0, 1.0).astype(
        np.float32
    )
    return entries


def action_towards(ratios: Ratios, target: Ratios) -> NDArray[np.float32]:
    """Return the action that goes from `ratios` to `target`, or as far towards it as one segment may.

    Returns:
        (2,) in [-1, 1].
    """
    change = np.array([target.data - ratios.data, target.compression - ratios.compression])
    action: NDArray[np.float32] = np.clip(change / np.array(ACTION_SCALE), -1.0, 1.0).astype(np.float32)
    return action


def compression_window(
    goal: Lanes, now: Lanes, segments_left: Lanes, n_segments: Lanes, compression_max: float
) -> tuple[Lanes, Lanes]:
    """Return the lowest and highest compression ratio of the next segment, where targets ask for `goal`.

    A target is where to stop: the ratio never goes beyond what meets every target. And it is kept within reach:
    the ratio never stays so low that full steps could not arrive `LANDING` of the run before its end. In that last
    part nothing more is removed, unless a target would be missed otherwise.

    Args:
        goal: (lanes,) smallest ratio that meets every target; NaN without a target.
        now: (lanes,) compression ratio.
        segments_left: (lanes,) segments after the next one.
        n_segments: (lanes,) segments of the run.
        compression_max: highest ratio without a target.

    Returns:
        (lanes,) lowest and (lanes,) highest.
    """
    landing = np.ceil(LANDING * n_segments)
    steps = np.maximum(segments_left - landing, 0.0)
    free = np.isnan(goal)
    low = np.where(free, 0.0, np.maximum(goal - ACTION_SCALE[1] * steps, 0.0))
    high = np.where(free, compression_max, goal)
    return low, np.where(segments_left >= landing, high, np.maximum(np.minimum(high, now), low))
