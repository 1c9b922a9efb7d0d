"""Data levers: what is chosen, kept, labelled and edited."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.data.augmentation import augment
from sec_rl.data.retention import most_informative
from sec_rl.data.selection import SELECTIONS, CandidateScores, select
from sec_rl.data.semi_supervised import pseudo_labels
from sec_rl.data.transfer import layer_learning_rates
from sec_rl.data.wordnet import synonyms
from sec_rl.data.words import NEGATIONS
from sec_rl.errors import InputError


def clustered(seed: int = 0) -> CandidateScores:
    """Return ten clusters of twenty candidates each."""
    generator = np.random.default_rng(seed)
    centres = 10.0 * generator.normal(size=(10, 8))
    embeddings = (centres[np.arange(200) % 10] + 0.1 * generator.normal(size=(200, 8))).astype(np.float32)
    probabilities = generator.dirichlet(np.ones(4), 200).astype(np.float32)
    return CandidateScores(probabilities, embeddings)


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("n", [0, 1, 7, 200])
def test_selection_returns_distinct_rows_and_repeats(name: str, n: int) -> None:
    chosen, again = (select(name, clustered(), n, np.random.default_rng(3)) for _ in range(2))
    assert len(set(chosen.tolist())) == n
    assert np.array_equal(chosen, again)


def test_margin_and_entropy_take_the_unsure() -> None:
    probabilities = np.array([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01], [0.4, 0.3, 0.3]], np.float32)
    scores = CandidateScores(probabilities, np.zeros((3, 2), np.float32))
    assert select("margin", scores, 1, np.random.default_rng(0)).tolist() == [1]
    assert select("entropy", scores, 1, np.random.default_rng(0)).tolist() == [2]


@pytest.mark.parametrize("name", ["kmeans", "badge"])
def test_diverse_selection_visits_more_clusters_than_chance(name: str) -> None:
    visited = {
        kind: np.mean(
            [len({int(i) % 10 for i in select(kind, clustered(s), 10, np.random.default_rng(s))}) for s in range(8)]
        )
        for kind in (name, "random")
    }
    assert visited[name] > visited["random"] + 0.5


def test_errors_name_value_and_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'margin'"):
        select("margn", clustered(), 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="201 labels asked for; 200"):
        select("random", clustered(), 201, np.random.default_rng(0))


def test_retention_keeps_the_hard_and_every_class() -> None:
    generator = np.random.default_rng(0)
    labels = np.array([0] * 90 + [1] * 10)
    probabilities = generator.dirichlet(np.ones(2), 100).astype(np.float32)
    kept = most_informative(probabilities, labels, 50)
    assert len(set(kept.tolist())) == 50
    assert (labels[kept] == 1).sum() == 5
    error = 1.0 - probabilities[np.arange(100), labels]
    gone = np.setdiff1d(np.arange(100), kept)
    for label in (0, 1):
        assert error[kept][labels[kept] == label].min() >= error[gone][labels[gone] == label].max()


@given(st.floats(0.5, 0.95), st.integers(1, 60))
def test_pseudo_labels_are_confident_and_balanced(threshold: float, limit: int) -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.full(3, 0.3), 300).astype(np.float32)
    found = pseudo_labels(probabilities, threshold=threshold, limit=limit)
    assert (found.confidences > threshold).all()
    assert np.array_equal(found.labels, probabilities[found.rows].argmax(axis=1))
    assert np.bincount(found.labels, minlength=3).max() <= -(-limit // 3)
    assert (np.diff(found.rows) > 0).all()


TEXT = "It 's not a great movie , but the story will never fail to surprise the patient audience ."


@given(st.floats(0.01, 1.0), st.integers(0, 50))
def test_augmentation_keeps_negations_and_never_empties(strength: float, seed: int) -> None:
    edited = augment(TEXT, strength=strength, generator=np.random.default_rng(seed))
    assert edited.strip()
    for word in NEGATIONS & set(TEXT.split()):
        assert word in edited.split()


def test_strength_decides_how_much_changes() -> None:
    assert augment(TEXT, strength=0.0, generator=np.random.default_rng(0)) == TEXT

    def changed(strength: float) -> float:
        originals = TEXT.split()
        counts = []
        for seed in range(30):
            words = augment(
                TEXT, strength=strength, generator=np.random.default_rng(seed), operations=["synonym"]
            ).split()
            counts.append(sum(a != b for a, b in zip(originals, words, strict=True)))
        return float(np.mean(counts))

    assert 0.9 <= changed(0.05) <= 1.1
    assert changed(0.3) > 2.5


def test_synonyms_are_wordnets() -> None:
    table = synonyms()
    assert "movie" in table["film"]
    assert all(word not in others for word, others in list(table.items())[:2000])


def test_layer_rates_fall_towards_the_embeddings() -> None:
    rates = layer_learning_rates(1.0, 0.5, 2)
    assert rates == (0.125, 0.25, 0.5, 1.0)
