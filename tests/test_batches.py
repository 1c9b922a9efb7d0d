"""The stream of batches: every row in use once per pass, those that joined included, and none that left."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sec_rl.training.batching import BatchStream

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
