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
from sec_rl.training.trainer import predict

# Scoring the whole pool at every purchase would cost more than training on it; a random subset of this many
# candidates per label wanted also keeps uncertainty sampling from picking near-duplicates.
CANDIDATES_PER_LABEL = 4
# And no more of them than this per example pass of the coming segment: who buys more than the segment can train on
# would pay more for choosing than for training.
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

    Returns:
        pool rows with bought labels, ascending.
    """
    wanted = min(max(round(data_ratio * len(pool)), least), len(pool))
    bought = np.flatnonzero(pool.bought)
    if wanted > len(bought):
        left = np.flatnonzero(~pool.bought)
        n_new = wanted - len(bought)
        affordable = max(n_new, min(CANDIDATES_PER_LABEL * n_new, CANDIDATES_PER_PASS * passes))
        blindly = not len(bought) or selection == "random"
        new = generator.choice(left, n_new if blindly else min(len(left), affordable), replace=False)
        if len(new) > n_new:
            scores = CandidateScores(*predict(model, rows.take(new), precision))
            new = new[select(selection, scores, n_new, generator)]
        pool.buy(new)
        return np.flatnonzero(pool.bought)
    if wanted < len(bought):
        probabilities, _ = predict(model, rows.take(bought), precision)
        return bought[most_informative(probabilities, pool.labels_of(bought), wanted)]
    return bought
