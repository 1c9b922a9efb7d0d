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
likewise for latency. Metrics that are no number give 0 (or what `readings` says), never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.batch import Lanes, PreferenceBatch, StateBatch
from sec_rl.envs.readings import HALVINGS, log2_ratio
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


_LOW, _HIGH = np.array(list(LOW_HIGH.values()), np.float32).T
_TENTH = 0.1
_DEFAULT = Preference()
WEIGHT_NAMES = ("accuracy_weight", "size_weight", "latency_weight", "label_weight")
_DEFAULT_WEIGHTS = np.array([getattr(_DEFAULT, name) for name in WEIGHT_NAMES])
_WEIGHTS = [OBSERVATION_NAMES.index(name) for name in WEIGHT_NAMES]
_TARGETS = [OBSERVATION_NAMES.index(name) for name in LOW_HIGH if name.startswith("has_")]
N_TARGET_KINDS = 2 ** len(_TARGETS)
# The entry of a weight of nine times its default; at 1 the weight has no end.
_HIGHEST_ENTRY = 0.9


def encode(history: Sequence[Metrics], preference: Preference, *, format_speedup: float = 1.0) -> NDArray[np.float32]:
    """Return the observation after the last entry of `history`.

    Args:
        history: metrics of a session from opening (segment 0) on, oldest first, at least one.
        preference: what the user wants.
        format_speedup: see `PreferenceBatch`; 1 leaves all of the target to pruning.

    Returns:
        (24,) in the order of `OBSERVATION_NAMES`, within `LOW_HIGH`.

    Raises:
        InputError: the history is empty.
    """
    if not history:
        raise InputError("The history is empty; an observation needs the metrics of an opened session.")
    wishes = encode_wishes(PreferenceBatch.of([preference], format_speedup))
    first: NDArray[np.float32] = encode_batch(StateBatch.of(history), wishes)[0]
    return first


def encode_batch(state: StateBatch, wishes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the observations of many runs.

    Args:
        state: where they stand.
        wishes: (lanes, 10) from `encode_wishes`; it changes only with the preference.

    Returns:
        (lanes, 24) in the order of `OBSERVATION_NAMES`, within `LOW_HIGH`.
    """
    chance = 1.0 / state.n_classes
    columns = (
        state.segment / state.n_segments,
        1.0 / state.n_segments,
        state.data_ratio,
        state.compression_ratio,
        (state.accuracy - chance) / (1.0 - chance),
        state.accuracy - state.first_accuracy,
        (state.accuracy - state.best_accuracy) / _TENTH,
        state.loss,
        (state.accuracy - state.accuracy_before) / state.span / _TENTH,
        (state.loss - state.loss_before) / state.span / _TENTH,
        state.label_fraction,
        state.passes_fraction,
        log2_ratio(state.size_ratio) / HALVINGS,
        log2_ratio(state.latency_ratio) / HALVINGS,
    )
    found = np.empty((len(state.segment), len(OBSERVATION_NAMES)))
    for place, column in enumerate(columns):
        found[:, place] = column
    found[:, len(columns) :] = wishes
    # A fraction that nobody could count.
    found[np.isnan(found)] = 0.0
    return np.clip(found, _LOW, _HIGH, out=found).astype(np.float32)


def encode_wishes(preference: PreferenceBatch) -> NDArray[np.float32]:
    """Return the last ten entries of the observations, (lanes, 10)."""
    speedup, size, drop = preference.target_speedup, preference.target_size_ratio, preference.max_accuracy_drop
    columns = (
        *(_share(getattr(preference, name), getattr(_DEFAULT, name)) for name in WEIGHT_NAMES),
        ~np.isnan(speedup),
        np.where(np.isnan(speedup), 0.0, -log2_ratio(preference.format_speedup / speedup) / HALVINGS),
        ~np.isnan(size),
        np.where(np.isnan(size), 0.0, -log2_ratio(size) / HALVINGS),
        ~np.isnan(drop),
        np.where(np.isnan(drop), 0.0, _share(drop, 1.0)),
    )
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def preference_weights(observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the weights of accuracy, size, latency and labels, (rows, 4), of observations (rows, 24).

    They are told apart up to nine times their defaults.
    """
    entries = np.clip(observations[:, _WEIGHTS].astype(np.float64), 0.0, _HIGHEST_ENTRY)
    weights: NDArray[np.float64] = _DEFAULT_WEIGHTS * entries / (1.0 - entries)
    return weights


def target_kinds(observations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return which targets there are in observations (rows, 24), (rows,) below `N_TARGET_KINDS`.

    The number's bits say, lowest first, whether there is one for speed, for size and for accuracy.
    """
    kinds: NDArray[np.int64] = (observations[:, _TARGETS] > 0.5) @ (1 << np.arange(len(_TARGETS)))
    return kinds


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


def _share(value: Lanes, half: float) -> Lanes:
    """Map [0, inf) to [0, 1) with `half` at 0.5."""
    return value / (value + half)
