"""What rewards are multiplied with while a policy learns, so that every kind of preference is heard.

A target that is missed costs ten times what the weights of a preference trade, and most drawn preferences have
targets: learned from rewards as they come, a policy hears little else. A positive factor that depends on nothing but
the preference, which every observation holds, leaves the best policy for each preference what it is (as scaling by
task does in van Hasselt et al. 2016, "Learning values across many orders of magnitude"). So rewards are divided by
the square root of the size that returns have for such a preference: its logarithm is linear in the logarithms of the
weights and in which targets there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.observation import N_TARGET_KINDS, preference_weights, target_kinds

# Of the size that is taken out, as a power: all of it made preferences that are hard to meet teach too little.
_SHARE = 0.5
# A return below this, a tenth of a point of accuracy, says nothing about the size of others.
_LEAST_RETURN = 1e-3
# A weight of 0 has no logarithm.
_LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class RewardScale:
    """The factor as a function of the preference.

    Attributes:
        coefficients: (12,) of the logarithm of the size of returns: one for each of the eight combinations of
            targets, one for the logarithm of each weight.
    """

    coefficients: NDArray[np.float64]

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what rewards are multiplied with, (rows,) above 0, for observations (rows, 24)."""
        factors: NDArray[np.float32] = np.exp(-_SHARE * _columns(observations) @ self.coefficients).astype(np.float32)
        return factors


def fit_reward_scale(observations: NDArray[np.float32], returns: NDArray[np.float64]) -> RewardScale:
    """Return the scale that fits the sizes of some episodes' returns by least squares.

    Args:
        observations: (episodes, 24) any one of each episode.
        returns: (episodes,).
    """
    sizes = np.log(np.maximum(np.abs(returns), _LEAST_RETURN))
    coefficients, *_ = np.linalg.lstsq(_columns(observations), sizes, rcond=None)
    return RewardScale(np.asarray(coefficients, np.float64))


def _columns(observations: NDArray[np.float32]) -> NDArray[np.float64]:
    kinds = target_kinds(observations)[:, None] == np.arange(N_TARGET_KINDS)
    weights = np.log(np.maximum(preference_weights(observations), _LEAST_WEIGHT))
    return np.concatenate([kinds.astype(np.float64), weights], axis=1)
