"""What the dynamics leave unexplained of a segment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.trace_batch import TraceBatch
from sec_rl.backends.simulator.dynamics import Ensemble
from sec_rl.backends.simulator.lanes import VALIDATION_ROWS
from sec_rl.backends.simulator.model import N_NOISE_WEIGHTS, Noise, noise_basis
from sec_rl.backends.simulator.tasks import accuracy_of

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
    for t in range(traces.inputs.shape[1]):
        rows = traces.learned[:, t]
        steps = [
            ensemble.step(np.full(len(traces), member), traces.inputs[:, t], traces.states[:, t])
            for member in range(ensemble.n_members)
        ]
        after = np.mean(steps, axis=0)
        squared = (traces.states[:, t + 1] - after) ** 2
        accuracy = accuracy_of(after[:, 0], traces.tasks)
        # Both ends of the segment were seen through a sample.
        sampling = 2.0 * accuracy * (1.0 - accuracy) / VALIDATION_ROWS / (1.0 - traces.tasks.majority) ** 2
        squared[:, 0] = np.maximum(squared[:, 0] - sampling, _LEAST_OWN * squared[:, 0])
        bases.append(noise_basis(traces.inputs[:, t], after)[rows])
        logs.append(0.5 * np.log(np.maximum(squared[rows], _LEAST**2)))
    basis, log = np.concatenate(bases), np.concatenate(logs) + _LOG_OFFSET
    ridge = 1e-3 * len(basis) * np.diag([0.0] + [1.0] * (N_NOISE_WEIGHTS - 1))
    weights = [
        np.linalg.solve(basis[:, i].T @ basis[:, i] + ridge, basis[:, i].T @ log[:, i]) for i in range(basis.shape[1])
    ]
    return Noise(np.stack(weights))


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
