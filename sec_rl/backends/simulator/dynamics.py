"""How a segment changes accuracy and loss: an ensemble of small networks that pull a run towards a level.

Each member answers, from the segment's features and where the run stands, two levels and two rates:
`after = before + rate x (level - before)`, for relative accuracy and relative loss. Rates lie in (0, 1) and levels
are bounded, so a simulated run settles whatever the controller does; a free difference runs away over an episode.
Ensembles of probabilistic networks as models of dynamics: Chua et al. 2018, sec. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Highest level: dense training is not the end, augmentation and pseudo-labels may pass it a little.
HIGHEST = 1.12
LEVEL_OFFSET, RATE_OFFSET = 0.8, -0.5
# Where a run stands: relative accuracy, relative loss, best relative accuracy so far.
N_STATE = 3


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
        rate = 1.0 / (1.0 + np.exp(-(x[:, :2] + RATE_OFFSET)))
        level = HIGHEST * np.tanh(x[:, 2:] + LEVEL_OFFSET)
        after: Array = state[:, :2] + rate * (level - state[:, :2])
        return after
