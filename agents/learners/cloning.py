"""Behaviour cloning: every learner starts from a network that acts like a good schedule.

Plain reinforcement learning of schedules often finds none that is better than a fixed one, because early exploration
of ratios mostly ruins runs. So the policy begins as the best fixed schedule, and exploration starts around it. While
the schedule shows what it does, its actions are disturbed (Laskey et al. 2017, DART): the network also learns how to
come back from where the schedule itself would never be.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from sec_rl.agents.action_grid import grid_distances
from sec_rl.agents.evaluate import play
from sec_rl.agents.lanes import LaneController
from sec_rl.agents.learners.reward_scale import RewardScale, fit_reward_scale
from sec_rl.agents.learners.torch_network import Standardise, read_network
from sec_rl.agents.network import HIDDEN, Network, Squash

# Entries that hardly vary would otherwise blow up what little they do.
_LEAST_SCALE = 0.1
_RATE, _BATCH = 3e-3, 512
# Optimizer steps: one for so many rows, within bounds. A clone that errs a little buys labels by its errors, and
# none of them can be given back.
_ROWS_PER_STEP, _FEWEST_STEPS, _MOST_STEPS = 16, 1500, 8000
# Episodes that are shown, about, where nobody says otherwise: enough for every kind of preference.
_SHOWN_EPISODES = 8192
# By how much the value of a grid's action falls with its distance from what was shown, in units of scaled return.
_MARGIN = 0.3


@dataclass(frozen=True)
class Demonstrations:
    """What a controller did, step by step.

    Attributes:
        observations: (steps, 24).
        actions: (steps, 2) that the controller answered.
        to_go: (steps,) return that was still to come.
        reward_scale: what brings the returns of all kinds of preferences closer to the size 1.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    to_go: NDArray[np.float32]
    reward_scale: RewardScale

    def scaled_to_go(self) -> NDArray[np.float32]:
        """Return `to_go` as a learner gets it, (steps,)."""
        return self.to_go * self.reward_scale(self.observations)

    def grid_values(self) -> NDArray[np.float32]:
        """Return what each action of the grid is taken to be worth, (steps, 25).

        The nearest to what was shown is worth the return that followed, every other one less by its distance: unlike
        plain values of the demonstrations, which say nothing of what was not done, the best of them is the action
        that was shown (as the margin of Hester et al. 2018, "Deep Q-learning from demonstrations").
        """
        return self.scaled_to_go()[:, None] - _MARGIN * grid_distances(self.actions)


def demonstrate(
    env: VecEnv, controller: LaneController, *, seed: int, rounds: int | None = None, noise: float = 0.1
) -> Demonstrations:
    """Let a controller drive whole episodes.

    Args:
        env: lanes of runs, rewards as they come, or paired.
        controller: drives them.
        seed: of controller and disturbance.
        rounds: episodes of each lane; None: enough to clone every kind of preference.
        noise: standard deviation of the disturbance of its actions.
    """
    generator = np.random.default_rng(seed)
    rounds = max(1, _SHOWN_EPISODES // env.num_envs) if rounds is None else rounds
    played = [play(env, controller, seed + i, noise=noise, generator=generator) for i in range(rounds)]
    first = np.concatenate([each.observations[0] for each in played])
    return Demonstrations(
        np.concatenate([each.observations[each.alive] for each in played]),
        np.concatenate([each.actions[each.alive] for each in played]),
        np.concatenate([each.returns_to_go()[each.alive] for each in played]).astype(np.float32),
        fit_reward_scale(first, np.concatenate([each.returns for each in played])),
    )


def clone(demonstrations: Demonstrations, *, squash: Squash, seed: int) -> Network:
    """Return a network that answers what was demonstrated, fitted by mean squared error.

    Args:
        demonstrations: of one controller.
        squash: how the network's output gets into [-1, 1].
        seed: of initial weights and batches.
    """
    targets = demonstrations.grid_values() if squash == "grid" else demonstrations.actions
    return fit_network(demonstrations.observations, targets, squash=squash, seed=seed)


def fit_network(
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    squash: Squash,
    seed: int,
    steps: int | None = None,
) -> Network:
    """Return a new network that is fitted to targets by mean squared error, its normaliser to the inputs.

    Args:
        inputs: (rows, n_in).
        targets: (rows, n_out).
        squash: how the network's output gets into [-1, 1].
        seed: of initial weights and batches.
        steps: of the optimizer, see `fit`.
    """
    mean, scale = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), _LEAST_SCALE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (inputs.shape[1], *HIDDEN, targets.shape[1])
        linears = [nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
        layers: list[nn.Module] = [Standardise(None, mean, scale)]
        for linear in linears[:-1]:
            layers += [linear, nn.Tanh()]
        layers += [linears[-1], *([nn.Tanh()] if squash == "tanh" else [])]
        fit(nn.Sequential(*layers), inputs, targets, seed=seed, steps=steps)
    return read_network(mean, scale, linears, squash)


def fit(
    module: nn.Module,
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    seed: int,
    steps: int | None = None,
) -> None:
    """Fit a module by mean squared error with a rate that decays to 0.

    Args:
        module: (rows, n_in) -> (rows, n_out).
        inputs: (rows, n_in).
        targets: (rows, n_out).
        seed: of the batches.
        steps: of the optimizer; None: by the number of rows.
    """
    if steps is None:
        steps = int(np.clip(len(inputs) // _ROWS_PER_STEP, _FEWEST_STEPS, _MOST_STEPS))
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=_RATE)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _RATE * (1.0 - step / steps)
        rows = torch.from_numpy(generator.integers(0, len(x), _BATCH))
        loss = nn.functional.mse_loss(module(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
