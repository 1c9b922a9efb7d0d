"""A rollout buffer that learns from whole episodes only."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor


class WholeEpisodes(RolloutBuffer):
    """Steps whose episode has not ended when the rollout does are left out of the loss.

    Their return would rest on the value network, which cannot see how far the twin of `PairedLanes` is; with rollouts
    of little more than an episode that error is as large as what there is to learn. Their advantage is 0 and their
    return the predicted value: they speak for and against nothing. (Advantages are standardised per batch, by which
    these get what an average step gets; that adds noise and no direction.)
    """

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray[Any, Any]) -> None:
        """Compute both, see `RolloutBuffer`."""
        super().compute_returns_and_advantage(last_values, dones)
        # (steps, lanes): whether an episode ended with this step, and with this or a later one.
        ends = np.concatenate([self.episode_starts[1:], np.asarray(dones, np.float32)[None]])
        whole = np.maximum.accumulate(ends[::-1], axis=0)[::-1] > 0.0
        self.advantages = np.where(whole, self.advantages, 0.0).astype(np.float32)
        self.returns = np.where(whole, self.returns, self.values).astype(np.float32)
