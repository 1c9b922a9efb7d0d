"""What the dynamics leave unexplained of a segment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.dynamics import Ensemble
from sec_rl.backends.simulator.lanes import VALIDATION_ROWS
from sec_rl.backends.simulator.model import Noise, noise_basis
from sec_rl.backends.simulator.tasks import accuracy_gap

# Mean of log |x| for a standard normal x, with its sign turned.
_LOG_OFFSET = 0.635
# At least this share of a residual's variance is the process's own.
_LEAST_OWN = 0.05
_LEAST = 1e-3
_DRAWS = 200


def fit_noise(ensemble: Ensemble, traces: TraceBatch) -> Noise:
    """Fit the residuals of single segments.

    The logarithm of a residual's size is regressed on a few features. Of accuracy, the noise of the validation
    sample is taken off first: it is known, and the lanes add it to what is observed.
    """
    bases, logs = [], []
    gap = accuracy_gap(traces.tasks)
    for t in range(traces.inputs.shape[1]):
        rows = traces.learned[:, t]
        best = traces.states[:, : t + 1, 0].max(axis=1)
        state = np.concatenate([traces.states[:, t], best[:, None]], axis=1)
        steps = [
            ensemble.step(np.full(len(traces), member), traces.inputs[:, t], state)
            for member in range(ensemble.n_members)
        ]
        after = np.mean(steps, axis=0)
        squared = (traces.states[:, t + 1] - after) ** 2
        accuracy = np.clip(traces.tasks.majority + after[:, 0] * gap, 0.0, 1.0)
        # Both ends of the segment were seen through a sample.
        sampling = 2.0 * accuracy * (1.0 - accuracy) / VALIDATION_ROWS / gap**2
        squared[:, 0] = np.maximum(squared[:, 0] - sampling, _LEAST_OWN * squared[:, 0])
        bases.append(noise_basis(traces.inputs[:, t], after[:, 0])[rows])
        logs.append(0.5 * np.log(np.maximum(squared[rows], _LEAST**2)))
    basis, log = np.concatenate(bases), np.concatenate(logs) + _LOG_OFFSET
    ridge = 1e-3 * len(basis) * np.diag([0.0, 1.0, 1.0, 1.0])
    return Noise(np.asarray(np.linalg.solve(basis.T @ basis + ridge, basis.T @ log).T, np.float64))


def noisy_finals(
    ensemble: Ensemble, noise: Noise, traces: TraceBatch, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return draws of each episode's final relative accuracy, (draws, episodes), member and noise drawn anew."""
    finals = []
    last = traces.ran.sum(axis=1) - 1
    for _ in range(_DRAWS):
        members = generator.integers(0, ensemble.n_members, len(traces))
        state = np.concatenate([traces.states[:, 0], traces.states[:, 0, :1]], axis=1)
        path = []
        for t in range(traces.inputs.shape[1]):
            inputs = traces.inputs[:, t]
            after = ensemble.step(members, inputs, state)
            after = after + noise.scale(inputs, after) * generator.standard_normal(after.shape)
            after = np.where(traces.learned[:, t, None], after, state[:, :2])
            state = np.concatenate([after, np.maximum(state[:, 2], after[:, 0])[:, None]], axis=1)
            path.append(after[:, 0])
        finals.append(np.stack(path, axis=1)[np.arange(len(traces)), last])
    return np.stack(finals)
