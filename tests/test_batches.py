"""The stream of batches: every row in use once per pass, whatever joins and leaves meanwhile."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sec_rl.training.batching import BatchStream

N_ROWS, BATCH_SIZE = 40, 4
LENGTHS = np.random.default_rng(0).integers(3, 30, N_ROWS)
# Which rows are used next, and for how many batches.
STEPS = st.lists(
    st.tuples(st.sets(st.integers(0, N_ROWS - 1), min_size=1), st.integers(0, 12)), min_size=1, max_size=6
)


def stream() -> BatchStream:
    return BatchStream(LENGTHS, BATCH_SIZE, seed=1)


@given(STEPS)
@settings(deadline=None)
def test_no_row_comes_again_before_the_others_in_use(steps: list[tuple[set[int], int]]) -> None:
    batches = stream()
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


def test_rows_that_join_come_in_the_pass_under_way() -> None:
    batches = stream()
    batches.use(np.arange(20))
    seen = [batches.next(), batches.next()]
    batches.use(np.arange(30))
    seen += [batches.next() for _ in range(6)]
    # 8 of the first 20, then the 12 others and the 10 new ones, before anything comes twice.
    assert sorted(np.concatenate(seen).tolist()) == list(range(30))


def test_rows_that_leave_are_not_drawn() -> None:
    batches = stream()
    batches.use(np.arange(20))
    first = batches.next()
    batches.use(np.arange(10))
    rest = np.setdiff1d(np.arange(10), first)
    drawn = np.concatenate([batches.next() for _ in range(-(-len(rest) // BATCH_SIZE))])
    assert sorted(drawn.tolist()) == rest.tolist()
    assert set(batches.next()) <= set(range(10))
