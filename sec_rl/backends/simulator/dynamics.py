"""How a segment changes accuracy and loss: an ensemble of small networks inside a law of learning and damage.

A segment first damages what was learned, by how much it removes of what was left of the encoder, and then pulls the
run towards a level, by a share that follows from the effort of the segment::

    kept  = before x exp(-fragility x removal)                removal: log of kept cost before over kept cost after
    share = 1 - exp(-ease x effort)
    after = kept + share x (level - kept)

for relative accuracy and relative loss alike. A network answers fragility, ease and level from the segment's features
and where the run stands. The law is the prior: removal never helps by itself, nothing is learned without effort, and
shares in (0, 1) and bounded levels keep a whole run stable, where a free difference would run away. Ensembles of
networks as models of dynamics: Chua et al. 2018, sec. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.simulator.features import EFFORT, REMOVAL

Array = NDArray[np.float64]

# Levels lie between these: a run may lose all, and beat dense training on a budget too small for all labels.
LOWEST, HIGHEST = -0.2, 1.6
# What a network of zeros answers: the dense level, at the dense speed, with some fragility.
LEVEL_OFFSET, EASE_OFFSET, FRAGILITY_OFFSET = 0.7, 0.0, -1.0
# Bounds of the logarithm of ease.
LEAST_EASE, MOST_EASE = -4.0, 2.0
# Where a run stands: relative accuracy, relative loss, best relative accuracy so far.
N_STATE = 3
# Ease, level and fragility, each of accuracy and loss.
N_ANSWERS = 6


@dataclass(frozen=True)
class Ensemble:
    """Weights of all members, stacked.

    Attributes:
        mean: (features,) of the features in the fit; `scale`: their standard deviation.
        weights: three layers, each (members, n_in, n_out).
        biases: three layers, each (members, n_out).
    """

    mean: Array
    scale: Array
    weights: tuple[Array, Array, Array]
    biases: tuple[Array, Array, Array]

    @property
    def n_members(self) -> int:
        """Members."""
        return len(self.weights[0])

    def step(self, members: NDArray[np.int64], inputs: Array, state: Array) -> Array:
        """Return where runs stand after a segment.

        Args:
            members: (lanes,) member that simulates each lane.
            inputs: (lanes, features) from `features`.
            state: (lanes, 3) relative accuracy and loss, and best relative accuracy.

        Returns:
            (lanes, 2) relative accuracy and loss.
        """
        x = np.concatenate([(inputs - self.mean) / self.scale, 2.0 * state[:, :2] - 1.0, state[:, 2:]], axis=1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (x[:, None, :] @ weight[members])[:, 0] + bias[members]
            if layer < len(self.weights) - 1:
                x = np.tanh(x)
        ease = np.exp(np.clip(x[:, :2] + EASE_OFFSET, LEAST_EASE, MOST_EASE))
        level = LOWEST + (HIGHEST - LOWEST) / (1.0 + np.exp(-(x[:, 2:4] + LEVEL_OFFSET)))
        fragility = np.logaddexp(0.0, x[:, 4:] + FRAGILITY_OFFSET)
        before = state[:, :2]
        # What is below the majority's level was never learned.
        kept = np.minimum(before, 0.0) + np.maximum(before, 0.0) * np.exp(-fragility * inputs[:, REMOVAL, None])
        share = 1.0 - np.exp(-ease * inputs[:, EFFORT, None])
        after: Array = kept + share * (level - kept)
        return after
