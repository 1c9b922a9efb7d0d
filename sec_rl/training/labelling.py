"""Realising a data ratio: which labels are bought, and which bought ones stay in use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.data.retention import most_informative
from sec_rl.data.selection import CandidateScores, select
from sec_rl.tasks import LabelPool
from sec_rl.training.batching import TokenRows
from sec_rl.training.precision import Precision
from sec_rl.training.replicas import ALONE, Replicas
from sec_rl.training.trainer import predict

# Scoring all rows at every change would cost more than training on them; a random subset of this many candidates per
# label to buy, or to leave out, also keeps uncertainty sampling from picking near-duplicates.
CANDIDATES_PER_LABEL = 4
# And at a purchase no more than this per example pass of the coming segment: who buys more than the segment can train
# on would pay more for choosing than for training.
CANDIDATES_PER_PASS = 2


def rows_in_use(
    model: SlimEncoderForSequenceClassification,
    pool: LabelPool,
    rows: TokenRows,
    data_ratio: float,
    *,
    selection: str,
    least: int,
    passes: int,
    precision: Precision,
    generator: np.random.Generator,
    replicas: Replicas = ALONE,
) -> NDArray[np.int64]:
    """Buy what `data_ratio` allows on top of what is bought, or keep the most informative of it.

    The first purchase is random: a model without a trained head has no opinion worth following.

    Args:
        model: scores candidates.
        pool: labels; `rows`: its texts as tokens.
        data_ratio: share of the pool to use, in (0, 1].
        selection: a key of `sec_rl.data.selection.SELECTIONS`.
        least: fewest rows to use, one batch at least.
        passes: example passes of the coming segment.
        precision: number format of the scoring passes.
        generator: decides draws and ties.
        replicas: processes that share the scoring.

    Returns:
        pool rows with bought labels, ascending.
    """
    wanted = min(max(round(data_ratio * len(pool)), least), len(pool))
    bought = np.flatnonzero(pool.bought)
    if wanted > len(bought):
        left = np.flatnonzero(~pool.bought)
        n_new = wanted - len(bought)
        blindly = not len(bought) or selection == "random"
        affordable = max(n_new, min(CANDIDATES_PER_LABEL * n_new, CANDIDATES_PER_PASS * passes))
        new = generator.choice(left, n_new if blindly else min(len(left), affordable), replace=False)
        if len(new) > n_new:
            scores = CandidateScores(*predict(model, rows.take(new), precision, replicas=replicas))
            new = new[select(selection, scores, n_new, generator)]
        pool.buy(new)
        return np.flatnonzero(pool.bought)
    n_out = len(bought) - wanted
    if n_out <= 0:
        return bought
    # A few rows less, segment after segment, must not cost a pass over all of them each time.
    asked = generator.choice(bought, min(len(bought), CANDIDATES_PER_LABEL * n_out), replace=False)
    probabilities, _ = predict(model, rows.take(asked), precision, replicas=replicas)
    best = most_informative(probabilities, pool.labels_of(asked), len(asked) - n_out)
    return np.union1d(np.setdiff1d(bought, asked), asked[best])
