"""Fitting the simulator's ensemble to recorded episodes."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.dynamics import (
    EASE_OFFSET,
    FRAGILITY_OFFSET,
    HIGHEST,
    LEAST_EASE,
    LEVEL_OFFSET,
    LOWEST,
    MOST_EASE,
    N_ANSWERS,
    N_STATE,
    Ensemble,
)
from sec_rl.backends.simulator.features import EFFORT, REMOVAL

# Six families of tasks tell little about a seventh: wider networks fitted them better and left-out ones worse.
HIDDEN = 6
_RATE, _DECAY = 1e-2, 1e-2
# The loss matters less than accuracy; a free run of the whole episode more than single segments.
_LOSS_WEIGHT, _ONE_STEP_WEIGHT = 0.5, 0.5
# Differences above this count linearly: one ruined episode must not decide the fit.
_HUBER = 0.05
_LEAST_SCALE = 0.05


class _Members(nn.Module):
    """All networks of the ensemble side by side, in torch; `Ensemble.step` computes the same in numpy."""

    def __init__(self, mean: Tensor, scale: Tensor, n_members: int, hidden: int) -> None:
        super().__init__()
        self.mean, self.scale = mean, scale
        widths = (len(mean) + N_STATE, hidden, hidden, N_ANSWERS)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in itertools.pairwise(widths):
            # The last layer starts small: the law starts from its offsets.
            size = n_in**-0.5 * (0.1 if n_out == N_ANSWERS else 1.0)
            self.weights.append(nn.Parameter(size * (2.0 * torch.rand(n_members, n_in, n_out) - 1.0)))
            self.biases.append(nn.Parameter(torch.zeros(n_members, 1, n_out)))

    def forward(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Map (members, rows, features) and (members, rows, 3) to (members, rows, 2)."""
        x = torch.cat([(inputs - self.mean) / self.scale, 2.0 * state[..., :2] - 1.0, state[..., 2:]], dim=-1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < len(self.weights) - 1:
                x = torch.tanh(x)
        ease = torch.exp(torch.clamp(x[..., :2] + EASE_OFFSET, LEAST_EASE, MOST_EASE))
        level = LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(x[..., 2:4] + LEVEL_OFFSET)
        fragility = nn.functional.softplus(x[..., 4:] + FRAGILITY_OFFSET)
        before = state[..., :2]
        decay = torch.exp(-fragility * inputs[..., REMOVAL, None])
        kept = torch.clamp(before, max=0.0) + torch.clamp(before, min=0.0) * decay
        share = 1.0 - torch.exp(-ease * inputs[..., EFFORT, None])
        return kept + share * (level - kept)


def fit_ensemble(traces: TraceBatch, *, n_members: int, epochs: int, seed: int) -> Ensemble:
    """Fit members to bootstraps of whole episodes.

    Each member is fitted to free runs (from the opened session on, on its own predictions) and to single segments:
    small errors add up over a run, and only a free run shows it.

    Args:
        traces: recorded episodes.
        n_members: of the ensemble.
        epochs: passes over all episodes, each one step of the optimizer.
        seed: of bootstraps and initial weights.
    """
    rows = traces.inputs[traces.ran]
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), _LEAST_SCALE)
    picked = np.random.default_rng(seed).integers(0, len(traces), (n_members, len(traces)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        members = _Members(_tensor(mean), _tensor(scale), n_members, HIDDEN)
    _fit(members, _tensor(traces.inputs[picked]), _tensor(traces.states[picked]), traces.learned[picked], epochs)
    weights = [_array(weight) for weight in members.weights]
    biases = [_array(bias)[:, 0] for bias in members.biases]
    return Ensemble(mean, scale, (weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))


def free_run(ensemble: Ensemble, traces: TraceBatch) -> NDArray[np.float64]:
    """Simulate recorded episodes without noise from their opened session on.

    Returns:
        (members, episodes, segments, 2) relative accuracy and loss.
    """
    found = []
    for member in range(ensemble.n_members):
        members = np.full(len(traces), member)
        state = np.concatenate([traces.states[:, 0], traces.states[:, 0, :1]], axis=1)
        path = []
        for t in range(traces.inputs.shape[1]):
            after = ensemble.step(members, traces.inputs[:, t], state)
            after = np.where(traces.learned[:, t, None], after, state[:, :2])
            state = np.concatenate([after, np.maximum(state[:, 2], after[:, 0])[:, None]], axis=1)
            path.append(after)
        found.append(np.stack(path, axis=1))
    return np.stack(found)


def _fit(members: _Members, inputs: Tensor, states: Tensor, learned: NDArray[np.bool_], epochs: int) -> None:
    """Fit all members at once.

    Args:
        members: to be fitted.
        inputs: (members, episodes, segments, features) of each member's bootstrap.
        states: (members, episodes, segments + 1, 2); `learned`: (members, episodes, segments).
        epochs: steps of the optimizer.
    """
    optimizer = torch.optim.AdamW(members.parameters(), lr=_RATE, weight_decay=_DECAY)
    threads = torch.get_num_threads()
    # Thousands of small operations: a second thread only waits for the first.
    torch.set_num_threads(1)
    mask = _tensor(learned.astype(np.float64))[..., None]
    best = torch.cummax(states[..., :1], dim=2).values
    known = torch.cat([states[:, :, :-1], best[:, :, :-1]], dim=3).flatten(1, 2)
    flat = inputs.flatten(1, 2)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = _RATE * (1.0 - epoch / epochs)
        state = torch.cat([states[:, :, 0], states[:, :, 0, :1]], dim=2)
        freely = []
        for t in range(inputs.shape[2]):
            after = torch.where(mask[:, :, t] > 0, members(inputs[:, :, t], state), state[..., :2])
            state = torch.cat([after, torch.maximum(state[..., 2:], after[..., :1])], dim=2)
            freely.append(after)
        once = members(flat, known).view_as(states[:, :, 1:])
        loss = _distance(torch.stack(freely, dim=2), states[:, :, 1:], mask)
        loss = loss + _ONE_STEP_WEIGHT * _distance(once, states[:, :, 1:], mask)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.set_num_threads(threads)


def _distance(predicted: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    error = nn.functional.smooth_l1_loss(predicted, real, beta=_HUBER, reduction="none")
    weighted = error * torch.tensor([1.0, _LOSS_WEIGHT]) * mask
    # Members share no parameter: the sum of their losses fits each on its own.
    return weighted.sum() / mask[0].sum()


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _array(parameter: Tensor) -> NDArray[np.float64]:
    return parameter.detach().numpy().astype(np.float64)
