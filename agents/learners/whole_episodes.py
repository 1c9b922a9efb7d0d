"""A rollout buffer that learns from whole episodes only."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

# As in stable-baselines3: advantages that are all the same become 0.
_LEAST_SPREAD = 1e-8


class WholeEpisodes(RolloutBuffer):
    """Steps whose episode has not ended when the rollout does are left out of the loss.

    Their return would rest on the value network, which cannot see how far the twin of `PairedLanes` is; with rollouts
    of little more than an episode that error is as large as what there is to learn. Their advantage is 0 and their
    return the predicted value: they speak for and against nothing.

    Advantages are standardised here, over the steps that count, and not by `PPO(normalize_advantage=True)`: it
    would take the mean of a batch off the others too, and give them a direction.
    """

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray[Any, Any]) -> None:
        """Compute both, see `RolloutBuffer`."""
        super().compute_returns_and_advantage(last_values, dones)
        # (steps, lanes): whether an episode ended with this step, and with this or a later one.
        ends = np.concatenate([self.episode_starts[1:], np.asarray(dones, np.float32)[None]])
        whole = np.maximum.accumulate(ends[::-1], axis=0)[::-1] > 0.0
        standard = np.zeros_like(self.advantages)
        if whole.any():
            counted = self.advantages[whole]
            standard[whole] = (counted - counted.mean()) / (counted.std() + _LEAST_SPREAD)
        self.advantages = standard
        self.returns = np.where(whole, self.returns, self.values).astype(np.float32)
