"""Active learning: which labels to buy next. Pure functions of the current model's scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from sec_rl.errors import InputError, unknown_name

Indices = NDArray[np.int64]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class CandidateScores:
    """What the model says of the candidates.

    Attributes:
        probabilities: (n, classes), rows sum to 1.
        embeddings: (n, hidden) pooled vectors.
    """

    probabilities: Array
    embeddings: Array

    def __len__(self) -> int:
        return len(self.probabilities)


Selection = Callable[[CandidateScores, int, np.random.Generator], Indices]


def random_choice(scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose uniformly: the control every other selection has to beat."""
    return generator.choice(len(scores), n, replace=False).astype(np.int64)


def smallest_margin(scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose where the two most probable classes are closest (Scheffer et al. 2001)."""
    top = np.sort(scores.probabilities, axis=1)[:, -2:]
    return _ranked(top[:, 1] - top[:, 0], n, generator)


def largest_entropy(scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose where the predictive distribution is flattest (Settles 2009, eq. 3)."""
    p = np.clip(scores.probabilities, 1e-12, 1.0)
    return _ranked((p * np.log(p)).sum(axis=1), n, generator)


def badge(scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose by k-means++ on gradient embeddings: uncertain and different from each other (BADGE, Ash et al. 2020).

    The gradient embedding is the outer product of (probabilities - one-hot prediction) and the pooled vector. Its
    inner products factorise, so the (n, classes x hidden) matrix is never built.
    """
    residual = scores.probabilities.astype(np.float64).copy()
    residual[np.arange(len(scores)), residual.argmax(axis=1)] -= 1.0
    embeddings = scores.embeddings.astype(np.float64)
    norms = (residual**2).sum(axis=1) * (embeddings**2).sum(axis=1)
    chosen = [int(norms.argmax())]
    nearest = np.full(len(scores), np.inf)
    for _ in range(n - 1):
        last = chosen[-1]
        products = (residual @ residual[last]) * (embeddings @ embeddings[last])
        nearest = np.minimum(nearest, np.maximum(norms + norms[last] - 2.0 * products, 0.0))
        nearest[chosen] = 0.0
        total = nearest.sum()
        if total <= 0.0:
            rest = np.setdiff1d(np.arange(len(scores)), chosen)
            chosen += generator.choice(rest, n - len(chosen), replace=False).tolist()
            break
        chosen.append(int(generator.choice(len(scores), p=nearest / total)))
    return np.array(chosen, np.int64)


def kmeans_centres(scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose the candidate nearest to each of `n` cluster centres of the embeddings (Yuan et al. 2020 use BERT's)."""
    if n == 1:
        centre = scores.embeddings.mean(axis=0)
        return np.array([((scores.embeddings - centre) ** 2).sum(axis=1).argmin()], np.int64)
    seed = int(generator.integers(2**31))
    clusters = MiniBatchKMeans(n, random_state=seed, n_init=1, batch_size=max(1024, 2 * n), max_iter=20)
    distances = clusters.fit_transform(scores.embeddings)
    chosen: list[int] = []
    taken = np.zeros(len(scores), bool)
    for column in distances.T:
        best = int(np.where(taken, np.inf, column).argmin())
        taken[best] = True
        chosen.append(best)
    return np.array(chosen, np.int64)


SELECTIONS: Mapping[str, Selection] = {
    "random": random_choice,
    "margin": smallest_margin,
    "entropy": largest_entropy,
    "badge": badge,
    "kmeans": kmeans_centres,
}


def select(name: str, scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose `n` distinct candidates, most wanted first.

    Args:
        name: a key of `SELECTIONS`.
        scores: of all candidates.
        n: how many, in [0, candidates].
        generator: decides ties and draws.

    Raises:
        InputError: the name is unknown, or `n` is out of range.
    """
    if name not in SELECTIONS:
        raise unknown_name("selection", name, SELECTIONS)
    if not 0 <= n <= len(scores):
        raise InputError(f"{n} labels asked for; {len(scores)} candidates are left.")
    if n == 0:
        return np.arange(0)
    return SELECTIONS[name](scores, n, generator)


def _ranked(values: NDArray[np.floating], n: int, generator: np.random.Generator) -> Indices:
    """Return the `n` smallest, ties broken at random."""
    order = np.lexsort((generator.random(len(values)), values))
    return order[:n].astype(np.int64)
