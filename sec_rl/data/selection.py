"""Active learning: which labels to buy next. Pure functions of the current model's scores.

Ranking a large pool by uncertainty alone picks near-duplicates. The guard against it is the caller's: score a random
subset of the pool, a few candidates per label wanted (`sec_rl.training.labelling` takes four), so that the most
uncertain quarter of a random sample is bought, which is cheaper too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from sec_rl.errors import InputError, unknown_name

Indices = NDArray[np.int64]
Array = NDArray[np.float32]
# Centres that spread over the candidates are wanted, no converged clustering.
_KMEANS_ITERATIONS = 5
# k-means++ proposals whose distances are computed at once; one by one, reading the matrix is what takes the time.
_PROPOSALS = 32


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
    residual = scores.probabilities.copy()
    residual[np.arange(len(scores)), residual.argmax(axis=1)] -= 1.0
    embeddings = np.ascontiguousarray(scores.embeddings, np.float32)
    norms = (residual**2).sum(axis=1) * (embeddings**2).sum(axis=1)

    def distances_to(picks: Indices) -> NDArray[np.float32]:
        """Return (picks, n) squared distances of all gradient embeddings to those of `picks`."""
        products = (residual[picks] @ residual.T) * (embeddings[picks] @ embeddings.T)
        squared: NDArray[np.float32] = np.maximum(norms + norms[picks, None] - 2.0 * products, 0.0)
        # Rounding leaves a row a little off from itself; at zero it cannot be drawn again.
        squared[np.arange(len(picks)), picks] = 0.0
        return squared

    first = int(norms.argmax())
    chosen = [first]
    nearest = distances_to(np.array([first]))[0].astype(np.float64)
    while len(chosen) < n:
        upto = np.cumsum(nearest)
        if upto[-1] <= 0.0:
            # Only copies of what is chosen are left; any of them is as good as another.
            rest = np.setdiff1d(np.arange(len(scores)), chosen)
            chosen += generator.choice(rest, n - len(chosen), replace=False).tolist()
            break
        # Proposals are drawn together, so that their distances are one matrix product, and accepted one by one at
        # the ratio of the distance now to the distance they were drawn at: the draws are those of plain k-means++.
        drawn = np.searchsorted(upto, generator.random(_PROPOSALS) * upto[-1], side="right")
        drawn = np.minimum(drawn, len(scores) - 1)
        at_draw = nearest.copy()
        for row, distances in zip(drawn, distances_to(drawn), strict=True):
            if len(chosen) < n and generator.random() * at_draw[row] < nearest[row]:
                chosen.append(int(row))
                nearest = np.minimum(nearest, distances)
    return np.array(chosen, np.int64)


def kmeans_centres(scores: CandidateScores, n: int, generator: np.random.Generator) -> Indices:
    """Choose the candidate nearest to each of `n` cluster centres of the embeddings, largest cluster first.

    Diverse, and blind to what the model is unsure of: it needs no trained head (Zhdanov 2019 clusters for diversity,
    Yuan et al. 2020 do it on BERT's vectors).
    """
    seed = int(generator.integers(2**31))
    # One trial per centre is plain k-means++; scikit-learn's default of several is five times slower here.
    start, _ = kmeans_plusplus(scores.embeddings, n, random_state=seed, n_local_trials=1)
    clusters = KMeans(n, init=start, n_init=1, max_iter=_KMEANS_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        # Copies among the candidates leave clusters empty; the loop below still picks a row of its own for each.
        warnings.simplefilter("ignore", ConvergenceWarning)
        distances = clusters.fit_transform(scores.embeddings)
    sizes = np.bincount(clusters.labels_, minlength=n)
    chosen: list[int] = []
    taken = np.zeros(len(scores), bool)
    for column in distances.T[np.argsort(-sizes, kind="stable")]:
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
        InputError: the name is unknown, `n` is out of range, or a score is no finite number.
    """
    if name not in SELECTIONS:
        raise unknown_name("selection", name, SELECTIONS)
    if not 0 <= n <= len(scores):
        raise InputError(f"{n} labels asked for; {len(scores)} candidates are left.")
    if not (np.isfinite(scores.probabilities).all() and np.isfinite(scores.embeddings).all()):
        raise InputError("The model's scores of the candidates hold NaN or infinity; nothing can be chosen by them.")
    if n == 0:
        return np.arange(0)
    return SELECTIONS[name](scores, n, generator)


def _ranked(values: NDArray[np.floating], n: int, generator: np.random.Generator) -> Indices:
    """Return the `n` smallest, ties broken at random."""
    order = np.lexsort((generator.random(len(values)), values))
    return order[:n].astype(np.int64)
