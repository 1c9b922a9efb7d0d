"""Active learning, retention, pseudo-labels and transfer: properties a broken version misses."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sec_rl.data.retention import most_informative
from sec_rl.data.selection import SELECTIONS, CandidateScores, select
from sec_rl.data.semi_supervised import pseudo_labels
from sec_rl.data.transfer import layer_learning_rates
from sec_rl.errors import InputError

names = st.sampled_from(sorted(SELECTIONS))


def made_scores(n: int, n_classes: int = 3, hidden: int = 8, seed: int = 0) -> CandidateScores:
    """Return scores without structure."""
    generator = np.random.default_rng(seed)
    return CandidateScores(
        generator.dirichlet(np.ones(n_classes), n).astype(np.float32),
        generator.normal(size=(n, hidden)).astype(np.float32),
    )


@given(names, st.integers(1, 40), st.integers(0, 40), st.integers(0, 1000), st.booleans())
def test_choices_are_distinct_rows_and_repeat(name: str, n: int, wanted: int, seed: int, copies: bool) -> None:
    scores = made_scores(n, seed=seed)
    if copies:
        scores = CandidateScores(
            np.repeat(scores.probabilities[:1], n, axis=0), np.repeat(scores.embeddings[:1], n, axis=0)
        )
    wanted = min(wanted, n)
    chosen = select(name, scores, wanted, np.random.default_rng(seed))
    assert chosen.dtype == np.int64
    assert len(set(chosen.tolist())) == wanted
    assert not wanted or (chosen.min() >= 0 and chosen.max() < n)
    assert chosen.tolist() == select(name, scores, wanted, np.random.default_rng(seed)).tolist()


def test_margin_and_entropy_rank_by_their_definition() -> None:
    p = np.array([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01], [0.4, 0.3, 0.3], [0.7, 0.2, 0.1]], np.float32)
    scores = CandidateScores(p, np.zeros((4, 2), np.float32))
    assert select("margin", scores, 4, np.random.default_rng(0)).tolist() == [1, 2, 3, 0]
    assert select("entropy", scores, 4, np.random.default_rng(0)).tolist() == [2, 3, 1, 0]


def test_ties_are_not_broken_by_the_order_of_rows() -> None:
    scores = CandidateScores(np.full((500, 2), 0.5, np.float32), np.zeros((500, 2), np.float32))
    assert select("margin", scores, 50, np.random.default_rng(0)).mean() > 150


@pytest.mark.parametrize("name", ["badge", "kmeans"])
def test_diverse_choices_visit_every_group(name: str) -> None:
    """Twenty far groups of very different size: as many choices reach (almost) all of them, margin does not."""
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(20, 16)) * 20
    group = np.repeat(np.arange(20), [300, *[12] * 19])
    embeddings = (centres[group] + generator.normal(size=(len(group), 16))).astype(np.float32)
    # The large group is also the one that the model is least sure of.
    sure = np.where(group == 0, 0.52, 0.6)
    scores = CandidateScores(np.stack([sure, 1 - sure], axis=1).astype(np.float32), embeddings)
    visited = len(set(group[select(name, scores, 20, np.random.default_rng(0))].tolist()))
    assert visited >= 18
    assert len(set(group[select("margin", scores, 20, np.random.default_rng(0))].tolist())) == 1


def plain_badge(scores: CandidateScores, n: int, generator: np.random.Generator) -> list[int]:
    """Sample k-means++ one by one on explicit gradient embeddings."""
    residual = scores.probabilities.astype(np.float64).copy()
    residual[np.arange(len(scores)), residual.argmax(axis=1)] -= 1.0
    gradients = (residual[:, :, None] * scores.embeddings[:, None, :]).reshape(len(scores), -1)
    chosen = [int((gradients**2).sum(1).argmax())]
    while len(chosen) < n:
        nearest = np.min([((gradients - gradients[c]) ** 2).sum(1) for c in chosen], axis=0)
        chosen.append(int(generator.choice(len(scores), p=nearest / nearest.sum())))
    return chosen


def test_badge_draws_like_plain_kmeans_plus_plus() -> None:
    """Proposals in blocks with rejection leave the distribution of the draws as it is."""
    scores = made_scores(12, hidden=3, seed=5)
    runs = 1500
    counts: NDArray[np.float64] = np.zeros((2, 12))
    for run in range(runs):
        counts[0, select("badge", scores, 4, np.random.default_rng(run))] += 1
        counts[1, plain_badge(scores, 4, np.random.default_rng([run, 1]))] += 1
    # Four standard deviations of a difference of two shares.
    assert np.abs(counts[0] - counts[1]).max() / runs < 4 * math.sqrt(2 * 0.25 / runs)


def test_badge_is_fast_without_the_gradient_matrix() -> None:
    scores = made_scores(7000, 6, 384)
    started = time.process_time()
    assert len(select("badge", scores, 700, np.random.default_rng(0))) == 700
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("name", "n", "message"), [("margn", 1, "'margin'"), ("margin", 11, "11 labels"), ("badge", -1, "-1 labels")]
)
def test_bad_requests_are_named(name: str, n: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select(name, made_scores(10), n, np.random.default_rng(0))


@pytest.mark.parametrize("name", sorted(SELECTIONS))
def test_scores_that_are_no_numbers_are_refused(name: str) -> None:
    scores = made_scores(10)
    scores.probabilities[3, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        select(name, scores, 2, np.random.default_rng(0))


@given(st.integers(2, 5), st.integers(10, 60), st.floats(0.1, 1.0), st.integers(0, 1000))
def test_retention_keeps_every_class_at_its_share(n_classes: int, m: int, share: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), generator.integers(n_classes, size=m)])
    probabilities = generator.dirichlet(np.ones(n_classes), len(labels)).astype(np.float32)
    n = max(n_classes, round(share * len(labels)))
    kept = most_informative(probabilities, labels, n)
    assert len(kept) == n
    assert (np.diff(kept) > 0).all()
    counts = np.bincount(labels[kept], minlength=n_classes)
    assert (counts >= 1).all()
    assert np.abs(counts - n / len(labels) * np.bincount(labels)).max() <= n_classes


def test_retention_keeps_the_wrongly_classified() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([0.9, 0.1, 0.6, 0.1, 0.7, 0.3], np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)
    assert most_informative(probabilities, labels, 2).tolist() == [1, 4]
    assert most_informative(probabilities, labels, 4).tolist() == [1, 2, 4, 5]
    assert most_informative(probabilities, labels, 0).tolist() == []
    with pytest.raises(InputError, match="7 examples"):
        most_informative(probabilities, labels, 7)


@given(st.integers(2, 6), st.integers(1, 50), st.integers(0, 30), st.floats(0.0, 0.95), st.integers(0, 1000))
def test_pseudo_labels_keep_threshold_limit_and_balance(
    n_classes: int, n: int, limit: int, threshold: float, seed: int
) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.2), n).astype(np.float32)
    free = pseudo_labels(probabilities, threshold=threshold)
    assert (free.confidences > threshold).all()
    assert len(free.rows) == (probabilities.max(axis=1) > threshold).sum()
    assert (free.labels == probabilities[free.rows].argmax(axis=1)).all()
    bound = pseudo_labels(probabilities, threshold=threshold, limit=limit)
    assert len(bound.rows) <= limit
    assert set(bound.rows.tolist()) <= set(free.rows.tolist())
    if len(free.rows) > limit:
        assert np.bincount(bound.labels, minlength=n_classes).max(initial=0) <= math.ceil(limit / n_classes)
        assert limit == 0 or len(bound.rows) > 0
    else:
        assert bound.rows.tolist() == free.rows.tolist()


def test_pseudo_labels_prefer_the_surest_of_each_class() -> None:
    first = np.array([0.99, 0.98, 0.97, 0.96, 0.05, 0.02], np.float32)
    found = pseudo_labels(np.stack([first, 1 - first], axis=1), threshold=0.9, limit=4)
    assert found.rows.tolist() == [0, 1, 4, 5]
    assert found.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("threshold", "limit"), [(1.0, None), (-0.1, None), (math.nan, None), (0.9, -1)])
def test_pseudo_labels_refuse_what_is_out_of_range(threshold: float, limit: int | None) -> None:
    with pytest.raises(InputError, match="must"):
        pseudo_labels(np.full((2, 2), 0.5, np.float32), threshold=threshold, limit=limit)


@given(st.floats(1e-6, 1e-2), st.floats(0.1, 1.0), st.integers(1, 24))
def test_learning_rates_fall_by_layer_from_the_head_down(base: float, decay: float, n_layers: int) -> None:
    rates = layer_learning_rates(base, decay, n_layers)
    assert len(rates) == n_layers + 2
    assert rates[-1] == base
    for lower, upper in itertools.pairwise(rates):
        assert lower == pytest.approx(decay * upper)
