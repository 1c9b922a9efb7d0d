"""Checks and repairs of whole splits: duplicates, leaks, missing splits, too little to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from sec_rl.errors import InputError
from sec_rl.readable import shown
from sec_rl.tasks.near_duplicates import near_duplicates
from sec_rl.tasks.splitting import stratified_holdout
from sec_rl.tasks.task import SPLITS, Split, Task

HELD_OUT_SHARE = 0.1
_MAX_NAMES = 5


def assemble(
    name: str,
    label_names: tuple[str, ...],
    splits: Mapping[str, Split],
    notes: tuple[str, ...],
    *,
    seed: int,
    batch_size: int,
) -> Task:
    """Make a task of numbered rows: drop duplicates, keep training clean of what is held out, cut missing splits.

    Two rows are the same when their texts are, after case folding and collapsing white space.

    Args:
        name: as the user gave it.
        label_names: name of each class.
        splits: ``"train"`` and, where they exist, ``"validation"`` and ``"test"``.
        notes: what was noted so far.
        seed: decides the rows of splits that are cut from training.
        batch_size: training must have this many rows.

    Raises:
        InputError: a split is left empty, training is smaller than a batch or shows one class only, or a held-out
            label no longer stands in training once leaking rows are gone.
    """
    found = list(notes)
    clean = {split: _without_duplicates(rows, split, found) for split, rows in splits.items()}
    clean = _without_leaks(clean, found)
    clean = _complete(clean, label_names, seed, found)
    _check_trainable(name, label_names, clean, batch_size)
    never = _names(sorted(set(range(len(label_names))) - set(clean["train"].labels.tolist())), label_names)
    if never:
        found.append(f"No row has the label {never}.")
    _note_near_leaks(clean, found)
    return Task(name, label_names, clean["train"], clean["validation"], clean["test"], tuple(found))


def _without_duplicates(rows: Split, split: str, notes: list[str]) -> Split:
    """Keep the first of rows with equal text and label; say which texts stand there with several labels."""
    pairs = list(zip(rows.keys(), rows.labels.tolist(), strict=True))
    first: dict[tuple[str, int], int] = {}
    for index, pair in enumerate(pairs):
        first.setdefault(pair, index)
    dropped = len(rows) - len(first)
    if dropped:
        notes.append(f"{_count(dropped, 'exact duplicate')} dropped from {split}.")
    contradicting = sum(n > 1 for n in Counter(key for key, _ in first).values())
    if contradicting:
        notes.append(f"{_count(contradicting, 'text')} in {split} with contradicting labels kept as found.")
    return rows.take(np.array(sorted(first.values()), np.int64)) if dropped else rows


def _without_leaks(splits: Mapping[str, Split], notes: list[str]) -> dict[str, Split]:
    """Remove from training what is held out, and from validation what stands in test."""
    clean = dict(splits)
    for split, others in (("validation", ("test",)), ("train", ("validation", "test"))):
        if split not in clean:
            continue
        keys = clean[split].keys()
        for other in others:
            if other not in splits:
                continue
            held_out = set(splits[other].keys())
            kept = [index for index, key in enumerate(keys) if key not in held_out]
            if len(kept) < len(keys):
                removed = _count(len(keys) - len(kept), "row")
                notes.append(f"{removed} removed from {split} because the same text stands in {other}.")
                clean[split] = clean[split].take(np.array(kept, np.int64))
                keys = [keys[index] for index in kept]
    return clean


def _note_near_leaks(splits: Mapping[str, Split], notes: list[str]) -> None:
    """Say how many training rows nearly repeat a held-out one; they stay, for a person has to judge them."""
    train, held_out = splits["train"], SPLITS[1:]
    found = near_duplicates(train, *(splits[split] for split in held_out))
    for split, pairs in zip(held_out, found, strict=True):
        if pairs:
            ours, theirs = pairs[0]
            rows = "1 row of train nearly repeats" if len(pairs) == 1 else f"{len(pairs)} rows of train nearly repeat"
            notes.append(
                f"{rows} what stands in {split} (0.8 or more of the words are shared), such as "
                f"{shown(train.texts[ours])} and {shown(splits[split].texts[theirs])}; kept as found."
            )


def _complete(
    splits: Mapping[str, Split], label_names: tuple[str, ...], seed: int, notes: list[str]
) -> dict[str, Split]:
    """Cut the splits that are missing from training, each a tenth of what training had."""
    complete = dict(splits)
    missing = [split for split in ("test", "validation") if split not in splits]
    train = complete["train"]
    n_held = round(HELD_OUT_SHARE * len(train))
    if missing:
        counts = np.bincount(train.labels, minlength=len(label_names))
        n_needed = 1 + len(missing)
        rare = _names(np.flatnonzero((counts > 0) & (counts < n_needed)).tolist(), label_names)
        if rare:
            notes.append(f"Classes with fewer than {n_needed} rows are missing from a cut split: {rare}.")
    for n_to_come, split in zip(range(len(missing))[::-1], missing, strict=True):
        # A text with two labels stays in training whole: held out, it would stand on both sides.
        keys = train.keys()
        counts_of_key = Counter(keys)
        ambiguous = [index for index, key in enumerate(keys) if counts_of_key[key] > 1]
        kept, held = stratified_holdout(train.labels, n_held, seed, leave=1 + n_to_come, keep=ambiguous)
        complete[split], train = train.take(held), train.take(kept)
        notes.append(f"{split} cut from train: {_count(len(held), 'row')}, stratified by label, seed {seed}.")
    complete["train"] = train
    return complete


def _check_trainable(name: str, label_names: tuple[str, ...], splits: Mapping[str, Split], batch_size: int) -> None:
    train = splits["train"]
    shows = set(train.labels.tolist())
    if len(shows) == 1:
        only = label_names[next(iter(shows))]
        raise InputError(f"Task {name!r}: training shows one class only, {only!r}; at least two are needed.")
    if len(train) < batch_size:
        raise InputError(
            f"Task {name!r}: training has {_count(len(train), 'usable row')}, fewer than one batch of {batch_size}."
        )
    for split in SPLITS[1:]:
        if len(splits[split]) == 0:
            raise InputError(f"Task {name!r}: {split} has no rows left.")
        unseen = _names(sorted(set(splits[split].labels.tolist()) - shows), label_names)
        if unseen:
            raise InputError(f"Task {name!r}: {split} has a label that training never shows: {unseen}.")


def _names(ids: list[int], label_names: tuple[str, ...]) -> str:
    listed = ", ".join(repr(label_names[i]) for i in ids[:_MAX_NAMES])
    return listed + (f" and {len(ids) - _MAX_NAMES} more" if len(ids) > _MAX_NAMES else "")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
