"""A labelled text-classification task: three splits, the names of its classes, and what was repaired."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError

Indices = NDArray[np.int64]
SPLITS = ("train", "validation", "test")


def normalised(text: str) -> str:
    """Return `text` case-folded with white space collapsed: what decides whether two texts are the same."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one split.

    Attributes:
        texts: one text per row.
        pairs: the second text of each row, or None for single-text tasks.
        labels: (n,) class ids in [0, n_classes).
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        lengths = {len(self.texts), len(self.labels)} | ({len(self.pairs)} if self.pairs is not None else set())
        if len(lengths) > 1:
            raise InputError(f"A split's columns differ in length: {', '.join(map(str, sorted(lengths)))}.")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Indices) -> Split:
        """Return the rows at `indices`, in that order."""
        pairs = None if self.pairs is None else tuple(self.pairs[i] for i in indices)
        return Split(tuple(self.texts[i] for i in indices), pairs, self.labels[indices])

    def keys(self) -> list[str]:
        """Return what makes one row's text(s) equal to another's, see `normalised`."""
        if self.pairs is None:
            return [normalised(text) for text in self.texts]
        return [f"{normalised(a)}\x00{normalised(b)}" for a, b in zip(self.texts, self.pairs, strict=True)]


@dataclass(frozen=True, eq=False)
class Task:
    """A task.

    Attributes:
        name: as the user gave it.
        label_names: name of each class, in the order of the ids.
        train: the training pool; hand it to `LabelPool`.
        validation: what controllers may see.
        test: touched once, at the end.
        notes: one sentence for everything that was repaired or decided while loading.
    """

    name: str
    label_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """Number of classes, at least 2."""
        return len(self.label_names)

    @property
    def is_pair(self) -> bool:
        """Whether a row is a pair of texts."""
        return self.train.pairs is not None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over class names and rows, hexadecimal: equal exactly when they are, on any machine."""
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        for split in (self.train, self.validation, self.test):
            digest.update(json.dumps([split.texts, split.pairs, split.labels.tolist()]).encode())
        return digest.hexdigest()
