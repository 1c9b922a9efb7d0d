"""Utility of a run's state, and the reward of a segment: the difference it makes.

The reward is utility(after) - utility(before). It telescopes, so with discount 1 a run's return is its final utility
minus the one it opened with, whatever happened in between: only the artefact counts, and yet every segment is scored.
That is potential-based shaping with the utility as the potential (Ng, Harada & Russell 1999, theorem 1) of a reward
that is paid at the end.

=================  =======================================================================================
term               value
=================  =======================================================================================
accuracy           accuracy_weight x (accuracy - reference); 0.01 is one point
size               size_weight x halvings of the artefact's bytes against dense fp32
latency            latency_weight x halvings of the latency against dense in the same format
labels             label_weight x share of the pool's labels that was never bought
missed_accuracy    -5 per unit of accuracy lost beyond max_accuracy_drop (0.05 a point)
missed_speedup     -0.2 per halving of the latency still missing to target_speedup
missed_size        -0.2 per halving of the size still missing to target_size_ratio
=================  =======================================================================================

The last three are 0 without a target and where it is met; their weight does not depend on the preference's, because a
target is a condition and no matter of taste.
"""

from __future__ import annotations

import numpy as np

from sec_rl.envs.batch import Lanes, PreferenceBatch, StateBatch
from sec_rl.envs.readings import log2_ratio
from sec_rl.errors import out_of_range
from sec_rl.values import Metrics, Preference

# A point beyond the allowed drop, or a quarter of a halving short of a target, weighs as much as five points.
ACCURACY_PENALTY = 5.0
HALVING_PENALTY = 0.2


def utility_terms_batch(
    state: StateBatch, preference: PreferenceBatch, reference_accuracy: Lanes
) -> dict[str, Lanes]:
    """Return the terms that add up to the utility, each (lanes,) and finite.

    Args:
        state: where the runs stand.
        preference: weights and targets of each lane.
        reference_accuracy: (lanes,) validation accuracy of the dense model, in [0, 1]; the same for a whole run.
    """
    gain = state.accuracy - reference_accuracy
    size, latency = -log2_ratio(state.size_ratio), -log2_ratio(state.latency_ratio)
    wanted_latency = -log2_ratio(preference.format_speedup / preference.target_speedup)
    wanted_size = -log2_ratio(preference.target_size_ratio)
    bought = np.clip(np.where(np.isnan(state.label_fraction), 1.0, state.label_fraction), 0.0, 1.0)
    return {
        "accuracy": preference.accuracy_weight * gain,
        "size": preference.size_weight * size,
        "latency": preference.latency_weight * latency,
        "labels": preference.label_weight * (1.0 - bought),
        "missed_accuracy": -ACCURACY_PENALTY
        * _missing(-gain - preference.max_accuracy_drop / 100.0, preference.max_accuracy_drop),
        "missed_speedup": -HALVING_PENALTY * _missing(wanted_latency - latency, preference.target_speedup),
        "missed_size": -HALVING_PENALTY * _missing(wanted_size - size, preference.target_size_ratio),
    }


def utility_terms(
    metrics: Metrics, preference: Preference, reference_accuracy: float, *, format_speedup: float = 1.0
) -> dict[str, float]:
    """Return the terms that add up to the utility; all finite, whatever the metrics.

    Args:
        metrics: state of the run.
        preference: weights and targets.
        reference_accuracy: validation accuracy of the dense model, in [0, 1]; the same for a whole run.
        format_speedup: dense fp32 latency over that of the dense model in the artefact's format, above 0.

    Raises:
        InputError: the reference is no accuracy.
    """
    if not 0.0 <= reference_accuracy <= 1.0:
        raise out_of_range("reference accuracy", reference_accuracy, 0.0, 1.0)
    wishes = PreferenceBatch.of([preference], format_speedup)
    terms = utility_terms_batch(StateBatch.of([metrics]), wishes, np.array([reference_accuracy]))
    return {name: float(value[0]) for name, value in terms.items()}


def utility(
    metrics: Metrics, preference: Preference, reference_accuracy: float, *, format_speedup: float = 1.0
) -> float:
    """Return the sum of `utility_terms`."""
    return sum(utility_terms(metrics, preference, reference_accuracy, format_speedup=format_speedup).values())


def reward_terms(
    before: Metrics,
    after: Metrics,
    preference: Preference,
    reference_accuracy: float,
    *,
    format_speedup: float = 1.0,
) -> dict[str, float]:
    """Return by how much a segment changed each term; their sum is its reward."""
    old = utility_terms(before, preference, reference_accuracy, format_speedup=format_speedup)
    new = utility_terms(after, preference, reference_accuracy, format_speedup=format_speedup)
    return {name: new[name] - old[name] for name in new}


def _missing(gap: Lanes, target: Lanes) -> Lanes:
    """Return what is missing to a target: 0 without one and where it is met."""
    return np.where(np.isnan(target), 0.0, np.maximum(gap, 0.0))
