"""Fitting the simulator's ensemble to recorded episodes."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.dynamics import HIGHEST, LEVEL_OFFSET, N_STATE, RATE_OFFSET, Ensemble

HIDDEN = 24
_RATE, _DECAY = 1e-2, 1e-2
# The loss matters less than accuracy; a free run of the whole episode more than single segments.
_LOSS_WEIGHT, _ONE_STEP_WEIGHT = 0.5, 0.5
# Differences above this count linearly: one ruined episode must not decide the fit.
_HUBER = 0.05
_LEAST_SCALE = 0.05


class _Member(nn.Module):
    """One network of the ensemble, in torch; `Ensemble.step` computes the same in numpy."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = mean, scale
        widths = (len(mean) + N_STATE, HIDDEN, HIDDEN, 4)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        with torch.no_grad():
            last = self.layers[-1]
            for parameter in last.parameters():
                parameter.mul_(0.1)

    def forward(self, inputs: Tensor, state: Tensor) -> Tensor:
        x = torch.cat([(inputs - self.mean) / self.scale, 2.0 * state[:, :2] - 1.0, state[:, 2:]], dim=1)
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        x = self.layers[-1](x)
        rate = torch.sigmoid(x[:, :2] + RATE_OFFSET)
        level = HIGHEST * torch.tanh(x[:, 2:] + LEVEL_OFFSET)
        return state[:, :2] + rate * (level - state[:, :2])


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
    generator = np.random.default_rng(seed)
    members = []
    for index in range(n_members):
        picked = generator.integers(0, len(traces), len(traces))
        members.append(_fit_member(traces.take(picked), mean, scale, epochs, seed * 1000 + index))
    states = [member.layers.state_dict() for member in members]
    weights = [np.stack([_array(state[f"{k}.weight"]).T for state in states]) for k in range(3)]
    biases = [np.stack([_array(state[f"{k}.bias"]) for state in states]) for k in range(3)]
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


def _fit_member(
    traces: TraceBatch, mean: NDArray[np.float64], scale: NDArray[np.float64], epochs: int, seed: int
) -> _Member:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        member = _Member(_tensor(mean), _tensor(scale))
    optimizer = torch.optim.AdamW(member.parameters(), lr=_RATE, weight_decay=_DECAY)
    inputs, states = _tensor(traces.inputs), _tensor(traces.states)
    learned = _tensor(traces.learned.astype(np.float64))[..., None]
    best = torch.cummax(states[..., :1], dim=1).values
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = _RATE * (1.0 - epoch / epochs)
        state = torch.cat([states[:, 0], states[:, 0, :1]], dim=1)
        freely = []
        for t in range(inputs.shape[1]):
            after = member(inputs[:, t], state)
            after = torch.where(learned[:, t] > 0, after, state[:, :2])
            state = torch.cat([after, torch.maximum(state[:, 2:], after[:, :1])], dim=1)
            freely.append(after)
        known = torch.cat([states[:, :-1], best[:, :-1]], dim=2)
        once = member(inputs.flatten(0, 1), known.flatten(0, 1)).view_as(states[:, 1:])
        loss = _distance(torch.stack(freely, dim=1), states[:, 1:], learned)
        loss = loss + _ONE_STEP_WEIGHT * _distance(once, states[:, 1:], learned)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return member


def _distance(predicted: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    error = nn.functional.smooth_l1_loss(predicted, real, beta=_HUBER, reduction="none")
    weighted = error * torch.tensor([1.0, _LOSS_WEIGHT]) * mask
    return weighted.sum() / mask.sum()


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _array(parameter: Tensor) -> NDArray[np.float64]:
    return parameter.detach().numpy().astype(np.float64)
