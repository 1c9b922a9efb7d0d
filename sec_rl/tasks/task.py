"""A labelled text-classification task, and the training pool that hides its labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
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

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Indices) -> Split:
        """Return the rows at `indices`, in that order."""
        pairs = None if self.pairs is None else tuple(self.pairs[i] for i in indices)
        return Split(tuple(self.texts[i] for i in indices), pairs, self.labels[indices])

    def keys(self) -> list[str]:
        """Return what makes a row equal to another: case-folded text(s) with white space collapsed."""
        seconds = [""] * len(self) if self.pairs is None else self.pairs
        return [
            " ".join(a.casefold().split()) + "\x00" + " ".join(b.casefold().split())
            for a, b in zip(self.texts, seconds, strict=True)
        ]


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: as the user gave it.
        label_names: name of each class, in the order of the ids.
        train: the training pool; `validation`: what controllers see; `test`: touched once, at the end.
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
        """SHA-256 over all rows: equal exactly when the rows are."""
        digest = hashlib.sha256(repr(self.label_names).encode())
        for split in (self.train, self.validation, self.test):
            digest.update(repr((split.texts, split.pairs)).encode())
            digest.update(split.labels.astype("<i8").tobytes())
        return digest.hexdigest()


class LabelPool:
    """The training pool: texts in the open, labels hidden until they are bought."""

    def __init__(self, split: Split) -> None:
        self.texts = split.texts
        self.pairs = split.pairs
        self._labels = split.labels
        self._bought = np.zeros(len(split), bool)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def bought(self) -> NDArray[np.bool_]:
        """Which labels have been bought, (n,); a copy."""
        return self._bought.copy()

    @property
    def n_bought(self) -> int:
        """How many labels have been bought; each counts once."""
        return int(self._bought.sum())

    def buy(self, indices: Indices) -> NDArray[np.int64]:
        """Reveal labels and count them; what is already bought costs nothing.

        Raises:
            InputError: an index lies outside the pool.
        """
        indices = self._checked(indices)
        self._bought[indices] = True
        return self._labels[indices]

    def labels_of(self, indices: Indices) -> NDArray[np.int64]:
        """Return labels that have been bought.

        Raises:
            InputError: an index lies outside the pool, or its label has not been bought.
        """
        indices = self._checked(indices)
        hidden = indices[~self._bought[indices]]
        if len(hidden):
            raise InputError(f"The label of row {int(hidden[0])} has not been bought.")
        return self._labels[indices]

    def _checked(self, indices: Indices) -> Indices:
        array = np.asarray(indices, np.int64).reshape(-1)
        if len(array) and (array.min() < 0 or array.max() >= len(self)):
            raise InputError(f"Row {int(array.max())} lies outside the pool of {len(self)} rows.")
        return array
