"""Splits, duplicates, leaks and the pool of hidden labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.errors import InputError
from sec_rl.tasks import LabelPool, Split, Task, load_task
from sec_rl.tasks.checks import assemble
from sec_rl.tasks.near_duplicates import near_duplicates
from sec_rl.tasks.splitting import stratified_holdout

NAMES = ("a", "b")


def split(texts: list[str], labels: list[int]) -> Split:
    return Split(tuple(texts), None, np.array(labels, np.int64))


def numbered(n: int, prefix: str) -> Split:
    return split([f"{prefix} {i}" for i in range(n)], [i % 2 for i in range(n)])


def task_of(train: Split, validation: Split | None = None, test: Split | None = None, batch_size: int = 32) -> Task:
    every = {"train": train, "validation": validation, "test": test}
    there = {name: rows for name, rows in every.items() if rows is not None}
    return assemble("t", NAMES, there, (), seed=0, batch_size=batch_size)


def joined(*splits: Split) -> Split:
    labels = np.concatenate([s.labels for s in splits])
    return Split(tuple(text for s in splits for text in s.texts), None, labels)


def test_every_leaking_row_leaves_training_and_is_counted() -> None:
    held, validation = numbered(40, "test"), numbered(20, "validation")
    copies = split([f"  TEST\t{i} " for i in range(10)], [0, 1] * 5)
    train = joined(numbered(100, "train"), copies, validation.take(np.arange(3)))
    task = task_of(train=train, validation=validation, test=held)
    assert len(task.train) == 100
    assert not set(task.train.keys()) & (set(task.test.keys()) | set(task.validation.keys()))
    assert len(task.test) == 40
    assert "10 rows removed from train because the same text stands in test." in task.notes
    assert "3 rows removed from train because the same text stands in validation." in task.notes


def test_pairs_leak_only_as_pairs() -> None:
    train = numbered(40, "x")
    pairs = Split(train.texts, tuple("same" for _ in train.texts), train.labels)
    other = Split(train.texts[:4], tuple("other" for _ in range(4)), train.labels[:4])
    task = task_of(train=pairs, validation=other, test=other.take(np.array([0, 1])))
    assert len(task.train) == 40


def test_validation_rows_that_stand_in_test_leave_validation() -> None:
    held = numbered(20, "held")
    task = task_of(train=numbered(64, "train"), validation=held, test=held.take(np.arange(4)))
    assert (len(task.validation), len(task.test)) == (16, 4)


def test_exact_duplicates_are_dropped_and_contradictions_kept() -> None:
    train = joined(numbered(64, "train"), split(["train 0", "Train  1", "train 2"], [0, 1, 1]))
    task = task_of(train=train, validation=numbered(4, "v"), test=numbered(4, "t"))
    assert len(task.train) == 65
    assert task.notes == (
        "2 exact duplicates dropped from train.",
        "1 text in train with contradicting labels kept as found.",
    )


@pytest.mark.parametrize("given_splits", [(), ("validation",), ("test",)])
def test_missing_splits_are_cut_from_training(given_splits: tuple[str, ...]) -> None:
    held = {name: numbered(20, name) for name in given_splits}
    splits = {"train": numbered(200, "train")} | held
    task = assemble("t", NAMES, splits, (), seed=3, batch_size=32)
    cut = [name for name in ("validation", "test") if name not in given_splits]
    for name in cut:
        part: Split = getattr(task, name)
        assert len(part) == 20
        assert part.labels.sum() == 10
        assert f"{name} cut from train: 20 rows, stratified by label, seed 3." in task.notes
    assert len(task.train) == 200 - 20 * len(cut)
    every = task.train.keys() + [key for name in cut for key in getattr(task, name).keys()]  # noqa: SIM118
    assert len(set(every)) == 200


def test_a_text_with_two_labels_is_never_held_out() -> None:
    train = joined(numbered(40, "a"), split([f"a {i}" for i in range(40)], [(i + 1) % 2 for i in range(40)]))
    with pytest.raises(InputError, match="no rows left"):
        task_of(train=train)
    task = task_of(train=joined(train, numbered(40, "b")))
    assert all(text.startswith("b") for text in task.test.texts + task.validation.texts)


def test_the_same_seed_makes_the_same_splits() -> None:
    tasks = [assemble("t", NAMES, {"train": numbered(200, "x")}, (), seed=seed, batch_size=32) for seed in (0, 0, 1)]
    assert tasks[0].fingerprint == tasks[1].fingerprint
    assert tasks[0].fingerprint != tasks[2].fingerprint


def test_too_little_to_train_on() -> None:
    held = (numbered(4, "v"), numbered(4, "t"))
    with pytest.raises(InputError, match="31 usable rows, fewer than one batch of 32"):
        task_of(numbered(31, "x"), *held)
    assert len(task_of(numbered(32, "x"), *held).train) == 32
    with pytest.raises(InputError, match="20 usable rows, fewer than one batch of 64"):
        task_of(numbered(20, "x"), *held, batch_size=64)
    one_class = split([f"x {i}" for i in range(64)], [1] * 64)
    with pytest.raises(InputError, match="one class only, 'b'"):
        task_of(one_class, *held)


def test_a_class_that_leaks_away_is_named() -> None:
    train = joined(split([f"x {i}" for i in range(40)], [0] * 40), split(["t 1", "t 2"], [1, 0]))
    other = split(["y", "z"], [0, 0])
    with pytest.raises(InputError, match="one class only"):
        task_of(train=train, validation=other, test=split(["t 1"], [1]))


class_counts = st.lists(st.integers(1, 40), min_size=2, max_size=8)


@given(class_counts, st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_stratified_holdout_is_a_partition_with_every_class(counts: list[int], seed: int, leave: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    n_held = round(0.2 * len(labels))
    kept, held = stratified_holdout(labels, n_held, seed, leave=leave)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert abs(len(held) - n_held) <= len(counts)
    for label, count in enumerate(counts):
        n = int((labels[held] == label).sum())
        assert n == 0 if count <= leave else 1 <= n <= count - leave
        assert n <= max(1, 0.2 * count + 1)


def test_a_class_too_rare_for_every_split_is_noted() -> None:
    labels = [0] * 60 + [1] * 3 + [2] * 2
    train = split([f"x {i}" for i in range(len(labels))], labels)
    task = assemble("t", ("a", "b", "c"), {"train": train}, (), seed=0, batch_size=32)
    assert [sorted(set(s.labels.tolist())) for s in (task.train, task.validation, task.test)] == [
        [0, 1, 2],
        [0, 1, 2],
        [0, 1],
    ]
    assert "Classes with fewer than 3 rows are missing from a cut split: 'c'." in task.notes


def test_a_named_class_without_rows_is_noted() -> None:
    splits = {"train": numbered(64, "x"), "validation": numbered(4, "v"), "test": numbered(4, "t")}
    task = assemble("t", ("a", "b", "c"), splits, (), seed=0, batch_size=32)
    assert task.n_classes == 3
    assert task.notes == ("No row has the label 'c'.",)


def test_labels_stay_hidden_until_bought() -> None:
    rows = numbered(10, "x")
    pool = LabelPool(rows)
    with pytest.raises(InputError, match="row 3 has not been bought"):
        pool.labels_of(np.array([3]))
    assert pool.buy(np.array([3, 5, 3])).tolist() == [1, 1, 1]
    assert pool.n_bought == 2
    assert pool.labels_of(np.array([5, 3, 3])).tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="row 4"):
        pool.labels_of(np.array([3, 4]))
    assert not [name for name in vars(pool) if not name.startswith("_") and "label" in name]


def test_nothing_outside_changes_the_pool() -> None:
    rows = numbered(10, "x")
    pool = LabelPool(rows)
    pool.buy(np.array([1]))[:] = 0
    pool.bought[:] = True
    rows.labels[:] = 0
    assert pool.n_bought == 1
    assert pool.labels_of(np.array([1])).tolist() == [1]


@pytest.mark.parametrize("bad", [[-1], [10], [0.5], [True, False], [[0, 1]]])
def test_rows_outside_the_pool_buy_nothing(bad: list[Any]) -> None:
    pool = LabelPool(numbered(10, "x"))
    with pytest.raises(InputError):
        pool.buy(np.array(bad))
    assert pool.n_bought == 0
    assert len(pool.buy(np.array([]))) == 0


@given(st.lists(st.lists(st.integers(0, 49), max_size=20), max_size=6))
def test_bought_labels_are_counted_once(purchases: list[list[int]]) -> None:
    rows = numbered(50, "x")
    pool = LabelPool(rows)
    for indices in purchases:
        assert pool.buy(np.array(indices, np.int64)).tolist() == rows.labels[indices].tolist()
    distinct = {index for indices in purchases for index in indices}
    assert pool.n_bought == len(distinct)
    assert set(np.flatnonzero(pool.bought).tolist()) == distinct


def test_a_planted_leak_is_found_whole_through_the_front_door(tmp_path: Path) -> None:
    def write(name: str, texts: list[str]) -> None:
        lines = (json.dumps({"text": text, "label": i % 2}) for i, text in enumerate(texts))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))

    held = [f"held out {i}" for i in range(400)]
    write("test", held)
    write("validation", [f"other {i}" for i in range(50)])
    write("train", [f"train {i}" for i in range(400)] + [text.upper() for text in held[:20]])
    task = load_task(str(tmp_path))
    assert len(task.train) == 400
    assert "20 rows removed from train because the same text stands in test." in task.notes


some_texts = st.lists(st.text(st.sampled_from("abcdeABCDE ,."), min_size=1, max_size=12), min_size=1, max_size=12)


@given(some_texts, some_texts, st.booleans())
def test_near_duplicates_are_those_of_comparing_all_with_all(ours: list[str], theirs: list[str], pair: bool) -> None:
    def split_of(texts: list[str]) -> Split:
        return Split(tuple(texts), tuple(texts[::-1]) if pair else None, np.zeros(len(texts), np.int64))

    def words(texts: list[str], row: int) -> set[tuple[int, str]]:
        sides = (texts, texts[::-1]) if pair else (texts,)
        return {(side, word) for side, each in enumerate(sides) for word in re.findall(r"\w+", each[row].casefold())}

    def similar(a: int, b: int) -> bool:
        one, other = words(ours, a), words(theirs, b)
        return bool(one) and 5 * len(one & other) >= 4 * len(one | other)

    (found,) = near_duplicates(split_of(ours), split_of(theirs))
    assert all(similar(a, b) for a, b in found)
    assert [a for a, _ in found] == [a for a in range(len(ours)) if any(similar(a, b) for b in range(len(theirs)))]


def test_rows_that_nearly_leak_stay_and_are_told() -> None:
    train = [f"a rather long text about number {i}" for i in range(40)]
    splits = {
        "train": train,
        "validation": [f"something else {i}" for i in range(9)],
        "test": ["A rather long, long text about number 7!"],
    }
    rows = {name: Split(tuple(t), None, np.arange(len(t), dtype=np.int64) % 2) for name, t in splits.items()}
    task = assemble("t", ("a", "b"), rows, (), seed=0, batch_size=4)
    assert len(task.train) == 40
    (note,) = task.notes
    assert note.startswith("1 row of train nearly repeats what stands in test")
    assert "number 7" in note


def test_columns_of_a_split_have_one_length() -> None:
    with pytest.raises(InputError, match="differ in length"):
        Split(("a", "b"), None, np.zeros(1, np.int64))
