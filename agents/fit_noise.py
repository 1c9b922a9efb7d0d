"""What the dynamics leave unexplained of a segment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.dynamics import Ensemble
from sec_rl.backends.simulator.features import REMOVAL
from sec_rl.backends.simulator.lanes import VALIDATION_ROWS
from sec_rl.backends.simulator.model import N_NOISE_WEIGHTS, Noise, noise_basis
from sec_rl.backends.simulator.tasks import accuracy_of

# Mean of log |x| for a standard normal x, with its sign turned.
_LOG_OFFSET = 0.635
# At least this share of a residual's variance is the process's own.
_LEAST_OWN = 0.05
_LEAST = 1e-3
_DRAWS = 200
# Segments of this progress on in which nothing is removed hardly move any more.
_QUIET_FROM = 0.75
_LEAST_FRESH = 0.05


def fit_persistence(traces: TraceBatch) -> float:
    """Return the share of the sampling variance of validation accuracy that stays for a whole run, in [0, 0.95].

    A run is scored on the same rows after every segment. Two models that follow each other disagree on few of them,
    so what the sample adds to the accuracy of one it adds to the next as well. How much comes anew is read off
    segments that change little: half the variance of their steps against that of a fresh sample; the median of
    families, for one that is far from done has steps of its own.
    """
    states, inputs = traces.states[:, :, 0], traces.inputs
    steps = states[:, 2:] - states[:, 1:-1]
    progress = np.arange(2, states.shape[1]) / (traces.last[:, None] + 1.0)
    quiet = (
        (progress > _QUIET_FROM) & (inputs[:, 1:, REMOVAL] == 0.0) & traces.learned[:, 1:] & traces.learned[:, :-1]
    )
    fresh = _sampling_variance(states[:, 2:], traces)
    found = []
    for family in np.unique(traces.families):
        mine = quiet & (traces.families == family)[:, None]
        if mine.any():
            found.append(0.5 * (steps[mine] ** 2).mean() / fresh[mine].mean())
    return float(np.clip(1.0 - np.median(found), 0.0, 1.0 - _LEAST_FRESH)) if found else 0.0


def _sampling_variance(skill: NDArray[np.float64], traces: TraceBatch) -> NDArray[np.float64]:
    """Return the variance of observed skill on a fresh validation sample, (episodes, ...)."""
    tasks = traces.tasks
    accuracy = np.stack([accuracy_of(column, tasks) for column in skill.T], axis=1)
    return accuracy * (1.0 - accuracy) / VALIDATION_ROWS / (1.0 - tasks.majority[:, None]) ** 2


def fit_noise(ensemble: Ensemble, traces: TraceBatch, persistence: float) -> Noise:
    """Fit the residuals of single segments.

    The logarithm of a residual's size is regressed on a few features. Of accuracy, the noise of the validation
    sample is taken off first: it is known, and the lanes add it to what is observed.

    Args:
        ensemble: predicts the segments.
        traces: recorded episodes, accuracy shifted to that on all rows.
        persistence: see `fit_persistence`.
    """
    bases, logs = [], []
    for t in range(traces.inputs.shape[1]):
        rows = traces.learned[:, t]
        steps = [
            ensemble.step(np.full(len(traces), member), traces.inputs[:, t], traces.states[:, t])
            for member in range(ensemble.n_members)
        ]
        after = np.mean(steps, axis=0)
        squared = (traces.states[:, t + 1] - after) ** 2
        # Both ends of the segment were seen through a sample; what stays of its noise cancels.
        sampling = 2.0 * (1.0 - persistence) * _sampling_variance(after[:, :1], traces)[:, 0]
        squared[:, 0] = np.maximum(squared[:, 0] - sampling, _LEAST_OWN * squared[:, 0])
        bases.append(noise_basis(traces.inputs[:, t], after)[rows])
        logs.append(0.5 * np.log(np.maximum(squared[rows], _LEAST**2)))
    basis, log = np.concatenate(bases), np.concatenate(logs) + _LOG_OFFSET
    ridge = 1e-3 * len(basis) * np.diag([0.0] + [1.0] * (N_NOISE_WEIGHTS - 1))
    weights = [
        np.linalg.solve(basis[:, i].T @ basis[:, i] + ridge, basis[:, i].T @ log[:, i]) for i in range(basis.shape[1])
    ]
    return Noise(np.stack(weights), persistence=persistence)


def noisy_finals(
    ensemble: Ensemble, noise: Noise, traces: TraceBatch, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return draws of each episode's final skill, (draws, episodes), member, sensitivity and noise drawn anew."""
    return np.stack([_noisy_final(ensemble, noise, traces, generator) for _ in range(_DRAWS)])


def _noisy_final(
    ensemble: Ensemble, noise: Noise, traces: TraceBatch, generator: np.random.Generator
) -> NDArray[np.float64]:
    members = generator.integers(0, ensemble.n_members, len(traces))
    sensitivity = np.exp(noise.sensitivity * generator.standard_normal(len(traces)))

    def step(inputs: NDArray[np.float64], state: NDArray[np.float64]) -> NDArray[np.float64]:
        after = ensemble.step(members, inputs, state, sensitivity)
        return noise.disturb(inputs, after, generator.standard_normal(after.shape))

    final: NDArray[np.float64] = traces.play(step)[np.arange(len(traces)), traces.last, 0]
    return final
