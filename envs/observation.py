"""The observation: a fixed layout of finite numbers that means the same on every task, encoder and device.

=========================  ============================================================  ===========
entry                      what, unit                                                    range
=========================  ============================================================  ===========
progress                   segments done over segments of the run                        [0, 1]
segment_share              one segment over the run, 1 / n_segments                      (0, 1]
data_ratio                 share of the pool in use; 0 before the first segment          [0, 1]
compression_ratio          share of the prunable cost that is gone                       [0, 1]
accuracy_over_chance       (accuracy - 1/k) / (1 - 1/k); 0 is chance, k classes          [-1, 1]
accuracy_since_first       accuracy minus that after the first segment, units of 1       [-1, 1]
accuracy_below_best        accuracy minus the session's best, units of 10 points         [-1, 0]
loss                       loss / (loss + ln k); 0.5 is a uniform guess                  [0, 1]
accuracy_slope             mean change per segment over the last 3, units of 10 points   [-1, 1]
loss_slope                 the same of `loss`, units of 0.1                              [-1, 1]
label_fraction             labels bought over the pool                                   [0, 1]
passes_fraction            example passes done over the budget                           [0, 1]
log2_size                  log2 of artefact bytes over dense fp32 bytes, over 10         [-1, 0.1]
log2_latency               log2 of latency over dense in the same format, over 10        [-1, 0.1]
accuracy_weight            w / (w + default of `Preference`); 0.5 is the default         [0, 1]
size_weight                the same                                                      [0, 1]
latency_weight             the same                                                      [0, 1]
label_weight               the same                                                      [0, 1]
has_target_speedup         1 with a target, else 0                                       {0, 1}
target_speedup             log2 of what is left to pruning, over 10; 0 without           [0, 1]
has_target_size_ratio      1 with a target, else 0                                       {0, 1}
target_size_ratio          -log2 of the ratio, over 10; 0 without                        [0, 1]
has_max_accuracy_drop      1 with a limit, else 0                                        {0, 1}
max_accuracy_drop          points / (points + 1); 0 without                              [0, 1]
=========================  ============================================================  ===========

Size and latency share their unit with their targets: a target is met where `log2_size + target_size_ratio <= 0`, and
likewise for latency. Metrics that are no number give the entry's worst value (see `readings`), never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.readings import HALVINGS, accuracy, bounded_loss, clipped, log2_ratio
from sec_rl.errors import InputError, unknown_name
from sec_rl.values import Metrics, Preference

LOW_HIGH: Mapping[str, tuple[float, float]] = {
    "progress": (0.0, 1.0),
    "segment_share": (0.0, 1.0),
    "data_ratio": (0.0, 1.0),
    "compression_ratio": (0.0, 1.0),
    "accuracy_over_chance": (-1.0, 1.0),
    "accuracy_since_first": (-1.0, 1.0),
    "accuracy_below_best": (-1.0, 0.0),
    "loss": (0.0, 1.0),
    "accuracy_slope": (-1.0, 1.0),
    "loss_slope": (-1.0, 1.0),
    "label_fraction": (0.0, 1.0),
    "passes_fraction": (0.0, 1.0),
    "log2_size": (-1.0, 0.1),
    "log2_latency": (-1.0, 0.1),
    "accuracy_weight": (0.0, 1.0),
    "size_weight": (0.0, 1.0),
    "latency_weight": (0.0, 1.0),
    "label_weight": (0.0, 1.0),
    "has_target_speedup": (0.0, 1.0),
    "target_speedup": (0.0, 1.0),
    "has_target_size_ratio": (0.0, 1.0),
    "target_size_ratio": (0.0, 1.0),
    "has_max_accuracy_drop": (0.0, 1.0),
    "max_accuracy_drop": (0.0, 1.0),
}
OBSERVATION_NAMES: tuple[str, ...] = tuple(LOW_HIGH)

# One segment's accuracy is noisy; three tell a trend and still turn quickly.
_SLOPE_WINDOW = 3
_TENTH = 0.1
_DEFAULT = Preference()


def encode(history: Sequence[Metrics], preference: Preference, *, format_speedup: float = 1.0) -> NDArray[np.float32]:
    """Return the observation after the last entry of `history`.

    Args:
        history: metrics of a session from opening (segment 0) on, oldest first, at least one.
        preference: what the user wants.
        format_speedup: dense fp32 latency over that of the dense model in the artefact's format, above 0. It comes
            for free, so the speed-up that is left to pruning is the target divided by it. 1 leaves it all to pruning.

    Returns:
        (24,) in the order of `OBSERVATION_NAMES`, within `LOW_HIGH`.

    Raises:
        InputError: the history is empty.
    """
    if not history:
        raise InputError("The history is empty; an observation needs the metrics of an opened session.")
    entries = _state(history) | _wishes(preference, format_speedup)
    bounded = [clipped(entries[name], low, high, worst=0.0) for name, (low, high) in LOW_HIGH.items()]
    return np.array(bounded, np.float32)


def read(observation: NDArray[np.floating], name: str) -> float:
    """Return one entry of an observation by name.

    Raises:
        InputError: no entry has this name, or the observation has another layout.
    """
    if name not in LOW_HIGH:
        raise unknown_name("observation entry", name, OBSERVATION_NAMES)
    if observation.shape != (len(OBSERVATION_NAMES),):
        raise InputError(f"The observation has shape {observation.shape}; it must be ({len(OBSERVATION_NAMES)},).")
    return float(observation[OBSERVATION_NAMES.index(name)])


def _state(history: Sequence[Metrics]) -> dict[str, float]:
    now = history[-1]
    chance = 1.0 / now.n_classes
    accuracies = [accuracy(metrics) for metrics in history]
    losses = [bounded_loss(metrics) for metrics in history]
    return {
        "progress": now.segment / now.n_segments,
        "segment_share": 1.0 / now.n_segments,
        "data_ratio": now.data_ratio,
        "compression_ratio": now.compression_ratio,
        "accuracy_over_chance": (accuracies[-1] - chance) / (1.0 - chance),
        "accuracy_since_first": accuracies[-1] - accuracies[min(1, len(history) - 1)],
        "accuracy_below_best": (accuracies[-1] - max(accuracies)) / _TENTH,
        "loss": losses[-1],
        "accuracy_slope": _slope(accuracies) / _TENTH,
        "loss_slope": _slope(losses) / _TENTH,
        "label_fraction": now.label_fraction,
        "passes_fraction": now.passes_fraction,
        "log2_size": log2_ratio(now.size_ratio) / HALVINGS,
        "log2_latency": log2_ratio(now.latency_ratio) / HALVINGS,
    }


def _slope(values: Sequence[float]) -> float:
    window = values[-_SLOPE_WINDOW - 1 :]
    return (window[-1] - window[0]) / max(len(window) - 1, 1)


def _wishes(preference: Preference, format_speedup: float) -> dict[str, float]:
    weights = {
        name: _share(getattr(preference, name), getattr(_DEFAULT, name))
        for name in ("accuracy_weight", "size_weight", "latency_weight", "label_weight")
    }
    speedup, size, drop = preference.target_speedup, preference.target_size_ratio, preference.max_accuracy_drop
    return weights | {
        "has_target_speedup": float(speedup is not None),
        "target_speedup": 0.0 if speedup is None else -log2_ratio(format_speedup / speedup) / HALVINGS,
        "has_target_size_ratio": float(size is not None),
        "target_size_ratio": 0.0 if size is None else -log2_ratio(size) / HALVINGS,
        "has_max_accuracy_drop": float(drop is not None),
        "max_accuracy_drop": 0.0 if drop is None else _share(drop, 1.0),
    }


def _share(value: float, half: float) -> float:
    """Map [0, inf) to [0, 1) with `half` at 0.5."""
    return value / (value + half)
