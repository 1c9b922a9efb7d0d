"""Augmentation: what must never change, what must change, and the synonyms behind it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.data.augmentation import AUGMENTATIONS, augment, augment_many
from sec_rl.data.wordnet import read_synonyms, synonyms
from sec_rl.data.words import NEGATIONS, is_protected, join_words, split_words
from sec_rl.errors import InputError

REVIEW = "The movie isn't terrible , but this story did not make anybody LOVE it, never ever ."
WORDS = ["film", "Movie,", "not", "n't", "don't", "never", "great.", "(story)", "42", "--", "is", "boring!", "no"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
operations = st.sampled_from(sorted(AUGMENTATIONS))


def negations(text: str) -> Counter[str]:
    """Count a text's negations."""
    cores = [word.core.lower() for word in split_words(text)]
    return Counter(core for core in cores if core in NEGATIONS or core.endswith("n't"))


@given(texts, operations, st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_negations_stay_and_no_text_is_emptied(text: str, operation: str, strength: float, seed: int) -> None:
    edited = augment(text, strength=strength, generator=np.random.default_rng(seed), operations=[operation])
    assert negations(edited) == negations(text)
    assert any(c.isalnum() for c in edited) or not any(c.isalnum() for c in text)


@given(st.text(max_size=60), operations, st.integers(0, 10**6))
def test_any_text_passes(text: str, operation: str, seed: int) -> None:
    assert augment(text, strength=0.0, generator=np.random.default_rng(seed), operations=[operation]) == text
    edited = augment(text, strength=0.5, generator=np.random.default_rng(seed), operations=[operation])
    assert bool(edited.strip()) == bool(text.strip())


@given(texts, st.integers(0, 10**6))
def test_swap_and_synonym_keep_the_punctuation_in_its_place(text: str, seed: int) -> None:
    frame = [(word.lead, word.tail) for word in split_words(text)]
    for operation in ("swap", "synonym"):
        edited = augment(text, strength=0.5, generator=np.random.default_rng(seed), operations=[operation])
        assert [(word.lead, word.tail) for word in split_words(edited)] == frame


@given(texts, st.integers(0, 10**6))
def test_swap_keeps_the_words_and_protected_ones_their_place(text: str, seed: int) -> None:
    edited = split_words(augment(text, strength=0.5, generator=np.random.default_rng(seed), operations=["swap"]))
    assert Counter(word.core for word in edited) == Counter(word.core for word in split_words(text))
    for before, after in zip(split_words(text), edited, strict=True):
        assert before == after or not is_protected(before)


@pytest.mark.parametrize("operation", sorted(AUGMENTATIONS))
def test_strength_is_the_share_of_words_that_change(operation: str) -> None:
    text = "funny movie and boring story with stupid film and terrible picture or excellent flick too ."
    generator = np.random.default_rng(0)
    changed = []
    for _ in range(40):
        edited = augment(text, strength=0.2, generator=generator, operations=[operation]).split()
        kept = sum((Counter(text.split()) & Counter(edited)).values())
        changed.append(max(len(text.split()), len(edited)) - kept)
    if operation == "swap":
        assert set(changed) == {0}
    else:
        assert max(changed) == round(0.2 * len(text.split()))
        # One replacement may be the other's original.
        assert np.mean(changed) > 2.5


def test_letter_case_is_kept() -> None:
    seen = {
        word
        for seed in range(30)
        for word in augment(
            "Movie MOVIE movie", strength=1.0, generator=np.random.default_rng(seed), operations=["synonym"]
        ).split()
    }
    assert {"Film", "FILM", "film"} <= seen


def test_deleted_end_of_sentence_leaves_its_mark() -> None:
    for seed in range(20):
        edited = augment("a great movie!", strength=0.4, generator=np.random.default_rng(seed), operations=["delete"])
        assert edited.endswith("!")
        assert len(edited.split()) == 2


def test_same_generator_same_copy() -> None:
    copies = [augment_many([REVIEW] * 20, strength=0.3, generator=np.random.default_rng(7)) for _ in range(2)]
    assert copies[0] == copies[1]
    assert len(set(copies[0])) > 10
    assert REVIEW not in copies[0]


def test_words_come_back_together() -> None:
    assert join_words(split_words(REVIEW)) == REVIEW


@pytest.mark.parametrize(
    ("strength", "names", "message"),
    [
        (1.5, ["swap"], "1.5"),
        (float("nan"), ["swap"], "nan"),
        (0.1, ["synonyms"], "'synonym'"),
        (0.1, [], "at least one"),
    ],
)
def test_bad_arguments_are_named(strength: float, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        augment("a movie", strength=strength, generator=np.random.default_rng(0), operations=names)


def test_synonyms_are_those_of_common_senses() -> None:
    started = time.process_time()
    table = synonyms.__wrapped__()
    assert time.process_time() - started < 3.0
    assert len(table) > 30_000
    assert "film" in table["movie"]
    assert "awful" in table["terrible"]
    # Rare senses: a commodity is a good, beryllium is Be.
    assert "commodity" not in table.get("good", ())
    assert "be" not in table
    for word, others in table.items():
        assert others
        assert word not in others
        assert len(set(others)) == len(others)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_format_is_read_with_any_line_end(tmp_path: Path, end: str) -> None:
    data = [
        "  1 This software and database is being provided to you",
        "00000001 03 n 03 Kino 0 cinema 0 picture_house 1 002 @ 00000009 n 0000 ~ 00000008 n 0000 | a house",
        "00000002 03 n 02 kino 0 resin 0 000 | a gum",
        "00000003 00 a 02 fine(p) 0 okay(ip) 0 000 | all right",
        "00000004 03 n 01 alone 0 000 | nobody else",
    ]
    index = ["  1 This software", "kino n 2 2 @ ~ 2 2 00000001 00000002  ", "okay a 1 0 1 0 00000003  "]
    for kind in ("noun", "verb", "adj", "adv"):
        rows = (data, index) if kind == "noun" else ([], [])
        for name, lines in zip(("data", "index"), rows, strict=True):
            (tmp_path / f"{name}.{kind}").write_text(end.join(lines), encoding="utf-8", newline="")
    counts = ["kino%1:03:00:: 1 9", "kino%1:03:01:: 2 1"]
    (tmp_path / "cntlist.rev").write_text(end.join(counts), encoding="utf-8", newline="")
    assert read_synonyms(tmp_path) == {"kino": ("cinema",), "okay": ("fine",)}
