"""Fitting the simulator's ensemble to recorded episodes."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss, softplus

from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.dynamics import (
    COMMON,
    LABELS,
    LEAST_EASE,
    LEAST_EFFECT,
    MOST_EASE,
    MOST_EFFECT,
    N_POWERS,
    ROWS_OFFSET,
    Ensemble,
)
from sec_rl.backends.simulator.features import (
    ASYMPTOTE,
    DEVIATION_NAMES,
    DEVIATIONS,
    EFFORT,
    REMOVAL,
    ROWS_PER_CLASS,
)

_N = len(DEVIATION_NAMES)
# Effects that are known to do no good: what is removed, also early, and labels that are left out.
_HARMFUL = [DEVIATION_NAMES.index(name) for name in ("log_removed", "log_labels_left_out", "early_removal")]
_RATE, _DECAY = 3e-2, 1e-3
# The loss matters less than accuracy; a free run of the whole episode, and its end, more than single segments.
_LOSS_WEIGHT, _ONE_STEP_WEIGHT, _FINAL_WEIGHT = 0.3, 0.5, 3.0
# Differences above this count linearly: one ruined episode must not decide the fit.
_HUBER = 0.03
# Before the first step: harm of softplus(-1), fragility likewise, powers of exp(0.4).
_HARM, _POWER, _MOST_POWER = -1.0, 0.4, 1.2
_LEAST_DEVIATION = 1e-6
# Levers were drawn in few episodes: their coefficients are held near 0 by the square of what a usual setting does.
_LEVERS = [DEVIATION_NAMES.index(name) for name in ("augmentation", "pseudo_labels", "distillation", "depth_share")]
_USUAL_LEVERS, _LEVER_PENALTY = (0.1, 0.3, 0.5, 0.5), 0.1
# Candidates for a task's own sensitivity, and resamplings that tell how well it is known.
_SENSITIVITIES = np.geomspace(0.25, 4.0, 33)
_RESAMPLINGS = 16


class _Law(NamedTuple):
    """What segments do to any state; every entry is (..., 2), for accuracy and loss.

    Attributes:
        decay: what is kept of what was learned, in (0, 1].
        share: of the way to `level` that the segment goes, in [0, 1).
        level: what the run is pulled towards.
    """

    decay: Tensor
    share: Tensor
    level: Tensor

    def __call__(self, state: Tensor) -> Tensor:
        """Return where runs stand after the segments, (..., 2)."""
        kept = torch.clamp(state, max=0.0) + torch.clamp(state, min=0.0) * self.decay
        return kept + self.share * (self.level - kept)


class _Members(nn.Module):
    """All members of the ensemble side by side, in torch; `Ensemble.step` computes the same in numpy."""

    def __init__(self, n_members: int) -> None:
        super().__init__()
        raw = torch.zeros(n_members, 1, 2, _N)
        raw[..., _HARMFUL] = _HARM
        self.raw_effect = nn.Parameter(raw)
        self.ease = nn.Parameter(torch.zeros(n_members, 1, 2, _N))
        self.raw_fragility = nn.Parameter(torch.full((n_members, 1, 2), _HARM))
        self.raw_powers = nn.Parameter(torch.full((n_members, 1, 2, N_POWERS), _POWER))
        self.abundance = nn.Parameter(torch.zeros(n_members, 1, 2))

    def effect(self) -> Tensor:
        """Return effects, harmful ones below 0, (members, 1, 2, deviations)."""
        harmful = torch.zeros(_N, dtype=torch.bool)
        harmful[_HARMFUL] = True
        return torch.where(harmful, -softplus(self.raw_effect), self.raw_effect)

    def penalty(self) -> Tensor:
        """Return what coefficients of levers cost, a number."""
        usual = torch.tensor(_USUAL_LEVERS)
        parts = [(each[..., _LEVERS] * usual).square().sum() for each in (self.raw_effect, self.ease)]
        return _LEVER_PENALTY * (parts[0] + parts[1])

    def powers(self) -> Tensor:
        """Return powers, (members, 1, 2, powers)."""
        return torch.exp(torch.clamp(self.raw_powers, -_MOST_POWER, _MOST_POWER))

    def fragility(self) -> Tensor:
        """Return fragilities, (members, 1, 2)."""
        return softplus(self.raw_fragility)

    def ensemble(self) -> Ensemble:
        """Return what is simulated with the coefficients as they are."""
        parts = (self.effect(), self.ease, self.fragility(), self.powers(), self.abundance)
        arrays = [part.detach().numpy()[:, 0].astype(np.float64) for part in parts]
        effect, ease, fragility, powers, abundance = arrays
        return Ensemble(effect, ease, fragility, powers, abundance, np.full(len(effect), COMMON))

    def law(self, inputs: Tensor) -> _Law:
        """Return what the law says of segments, whatever state they begin in, for (members, ..., features).

        It is most of the work, and free runs and single segments share it.
        """
        first, rest = inputs[..., None, DEVIATIONS][..., :N_POWERS], inputs[..., DEVIATIONS][..., N_POWERS:]
        # One axis for whatever rows there are between members and features.
        first, rest = first.flatten(1, -3), rest.flatten(1, -2)
        # The power's gradient at 0 is infinite; 0 itself stays 0.
        powered = first.clamp(min=_LEAST_DEVIATION) ** self.powers() * (first > 0)
        ease = torch.exp(torch.clamp(_weighted(self.ease, powered, rest), LEAST_EASE, MOST_EASE))
        flat = inputs.flatten(1, -2)
        scale = torch.exp(-self.abundance * (flat[..., ROWS_PER_CLASS, None] - ROWS_OFFSET))
        coefficients = self.effect()
        missing = coefficients[..., LABELS] * powered[..., LABELS]
        effect = _weighted(coefficients, powered, rest) + (scale - 1.0) * missing
        level = torch.sigmoid(torch.logit(flat[..., ASYMPTOTE]) + torch.clamp(effect, LEAST_EFFECT, MOST_EFFECT))
        decay = torch.exp(-self.fragility() * flat[..., REMOVAL, None])
        share = 1.0 - torch.exp(-ease * flat[..., EFFORT])
        shape = (*inputs.shape[:-1], 2)
        return _Law(decay.reshape(shape), share.reshape(shape), level.reshape(shape))

    def forward(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Map (members, rows, features) and (members, rows, 2) to (members, rows, 2)."""
        return self.law(inputs)(state)


def fit_ensemble(traces: TraceBatch, *, n_members: int, epochs: int, seed: int) -> Ensemble:
    """Fit members to bootstraps of whole episodes.

    Each member is fitted to free runs (from the opened session on, on its own predictions), to where they end on the
    whole validation split, and to single segments: small errors add up over a run, and only a free run shows it.

    Args:
        traces: recorded episodes.
        n_members: of the ensemble.
        epochs: passes over all episodes, each one step of the optimizer.
        seed: of the bootstraps.
    """
    picked = np.random.default_rng(seed).integers(0, len(traces), (n_members, len(traces)))
    members = _Members(n_members)
    _fit(members, [traces.take(rows) for rows in picked], epochs)
    return members.ensemble()


def fit_sensitivity(ensemble: Ensemble, traces: TraceBatch) -> tuple[float, float]:
    """Return the sensitivity with which an ensemble that does not know these episodes describes them best.

    Returns:
        the sensitivity, and the standard error of its logarithm by a bootstrap of whole episodes.
    """
    free = np.stack([free_run(ensemble, traces, each).mean(axis=0)[:, :, 0] for each in _SENSITIVITIES])
    errors = np.where(traces.learned, np.abs(free - traces.states[:, 1:, 0]), 0.0).sum(axis=2)
    picked = np.random.default_rng(0).integers(0, len(traces), (_RESAMPLINGS, len(traces)))
    resampled = np.log(_SENSITIVITIES[errors[:, picked].sum(axis=2).argmin(axis=0)])
    return float(_SENSITIVITIES[errors.sum(axis=1).argmin()]), float(resampled.std())


def free_run(ensemble: Ensemble, traces: TraceBatch, sensitivity: float = 1.0) -> NDArray[np.float64]:
    """Simulate recorded episodes without noise from their opened session on.

    Args:
        ensemble: simulates, every member in turn.
        traces: recorded episodes.
        sensitivity: of all of them.

    Returns:
        (members, episodes, segments, 2) skill of accuracy and of loss.
    """
    every = [np.full(len(traces), member) for member in range(ensemble.n_members)]
    return np.stack([traces.play(partial(ensemble.step, members, sensitivity=sensitivity)) for members in every])


def _fit(members: _Members, traces: list[TraceBatch], epochs: int) -> None:
    """Fit all members at once, each to its own bootstrap."""
    optimizer = torch.optim.AdamW(members.parameters(), lr=_RATE, weight_decay=_DECAY)
    threads = torch.get_num_threads()
    # Thousands of small operations: a second thread only waits for the first.
    torch.set_num_threads(1)
    inputs, states = _stack([one.inputs for one in traces]), _stack([one.states for one in traces])
    mask = _stack([one.learned for one in traces])[..., None]
    final = _stack([one.final for one in traces])
    ends = torch.from_numpy(np.stack([one.last for one in traces]))[..., None]
    # A unit of skill is worth what it is in accuracy: a task of one frequent class has less of it to lose.
    worth = _stack([1.0 - one.tasks.majority for one in traces])[..., None, None]
    # Episodes differ in length, and bootstraps in their episodes: each member's loss is a mean over its own segments.
    weight = worth * torch.tensor([1.0, _LOSS_WEIGHT]) * mask / mask.sum(dim=(1, 2, 3), keepdim=True)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = _RATE * (1.0 - epoch / epochs)
        law = members.law(inputs)
        state, path = states[:, :, 0], []
        for t, segment in enumerate(zip(*(part.unbind(2) for part in law), strict=True)):
            state = torch.where(mask[:, :, t] > 0, _Law(*segment)(state), state)
            path.append(state)
        freely = torch.stack(path, dim=2)
        once = law(states[:, :, :-1])
        end = torch.gather(freely[..., 0], 2, ends)[..., 0]
        # Members share no parameter: the sum of their losses fits each on its own.
        loss = (_distance(freely, states[:, :, 1:]) * weight).sum()
        loss = loss + _ONE_STEP_WEIGHT * (_distance(once, states[:, :, 1:]) * weight).sum()
        loss = loss + _FINAL_WEIGHT * (_distance(end, final) * worth[..., 0, 0]).mean(dim=1).sum()
        loss = loss + members.penalty()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.set_num_threads(threads)


def _weighted(coefficients: Tensor, powered: Tensor, rest: Tensor) -> Tensor:
    """Return the sum of deviations by coefficients, (members, rows, 2).

    Args:
        coefficients: (members, 1, 2, deviations).
        powered: (members, rows, 2, powers) of the first deviations.
        rest: (members, rows, others) of the others, which have no power.
    """
    first = (coefficients[..., :N_POWERS] * powered).sum(-1)
    return first + rest @ coefficients[:, 0, :, N_POWERS:].transpose(1, 2)


def _distance(predicted: Tensor, real: Tensor) -> Tensor:
    return smooth_l1_loss(predicted, real, beta=_HUBER, reduction="none")


def _stack(values: list[NDArray[np.float64]] | list[NDArray[np.bool_]]) -> Tensor:
    return torch.from_numpy(np.stack(values).astype(np.float32))
