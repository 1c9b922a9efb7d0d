"""The stream of batches: every row in use once per pass, those that joined included, and none that left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sec_rl.data.semi_supervised import PseudoLabels
from sec_rl.tasks import LabelPool, Split
from sec_rl.training.batching import BatchStream, TokenRows
from sec_rl.training.examples import ExampleSource
from sec_rl.values import Levers

N_ROWS, BATCH_SIZE = 40, 4
LENGTHS = np.random.default_rng(0).integers(3, 30, N_ROWS)
# Which rows are used next, and for how many batches.
ROWS = st.sets(st.integers(0, N_ROWS - 1), min_size=1)
STEPS = st.lists(st.tuples(ROWS, st.integers(0, 12)), min_size=1, max_size=6)


@given(STEPS)
@settings(deadline=None)
def test_no_row_comes_again_before_the_others_in_use(steps: list[tuple[set[int], int]]) -> None:
    batches = BatchStream(LENGTHS, BATCH_SIZE, seed=1)
    # Rows drawn in the pass under way.
    drawn: set[int] = set()
    for members, n_batches in steps:
        batches.use(np.array(sorted(members)))
        drawn &= members
        for _ in range(n_batches):
            if drawn == members:
                drawn = set()
            batch = batches.next().tolist()
            assert len(set(batch)) == len(batch) <= BATCH_SIZE
            assert set(batch) <= members - drawn
            drawn |= set(batch)


def test_pseudo_labels_push_out_rows_of_any_length() -> None:
    """Batches are sorted by length; of each the same end would never be trained on."""
    n = 64
    lengths = np.arange(4, 4 + n)
    rows = TokenRows(tuple(np.zeros(length, np.int64) for length in lengths), None, 0)
    pool = LabelPool(Split(tuple(f"text {i}" for i in range(2 * n)), None, np.zeros(2 * n, np.int64)))
    pool.buy(np.arange(n))
    both = TokenRows(rows.ids * 2, None, 0)
    labelled, unlabelled = (BatchStream(both.lengths, 16, seed) for seed in (0, 1))
    labelled.use(np.arange(n))
    unlabelled.use(np.arange(n, 2 * n))
    source = ExampleSource(pool, both, None, 99, labelled, unlabelled, np.random.default_rng(2))
    pseudo = PseudoLabels(np.arange(n, 2 * n), np.zeros(n, np.int64), np.ones(n, np.float32))
    seen = np.zeros(2 * n)
    for _ in range(200):
        batch = source.next(Levers(pseudo_label_share=0.5, augmentation_strength=0.0), pseudo)
        assert batch.pool_rows is not None
        seen[batch.pool_rows] += 1
    for part in (seen[:n], seen[n:]):
        assert part.min() > 0.5 * part.mean()
        assert part[-8:].mean() == pytest.approx(part[:8].mean(), rel=0.2)
