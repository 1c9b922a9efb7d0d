"""The training pool: texts in the open, labels hidden until they are bought."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError
from sec_rl.tasks.task import Indices, Split


class LabelPool:
    """A split whose labels cost something; nothing but `buy` and `labels_of` reveals them.

    Attributes:
        texts: one text per row.
        pairs: the second text of each row, or None.
    """

    def __init__(self, split: Split) -> None:
        self.texts = split.texts
        self.pairs = split.pairs
        self._labels = split.labels.copy()
        self._bought = np.zeros(len(split), bool)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def bought(self) -> NDArray[np.bool_]:
        """Which labels have been bought, (n,); a copy."""
        return self._bought.copy()

    @property
    def n_bought(self) -> int:
        """How many labels have been bought; each row counts once, however often it is asked for."""
        return int(self._bought.sum())

    def buy(self, indices: Indices) -> NDArray[np.int64]:
        """Reveal labels and count them; what is already bought costs nothing.

        Args:
            indices: (k,) rows in [0, n); repeats are allowed.

        Returns:
            (k,) labels, in the order of `indices`.

        Raises:
            InputError: an index is no integer or lies outside the pool; nothing is bought then.
        """
        rows = self._checked(indices)
        self._bought[rows] = True
        return self._labels[rows]

    def labels_of(self, indices: Indices) -> NDArray[np.int64]:
        """Return (k,) labels that have been bought.

        Raises:
            InputError: an index is no integer, lies outside the pool, or its label has not been bought.
        """
        rows = self._checked(indices)
        hidden = rows[~self._bought[rows]]
        if len(hidden):
            raise InputError(f"The label of row {int(hidden[0])} has not been bought; {self.n_bought} have.")
        return self._labels[rows]

    def _checked(self, indices: Indices) -> Indices:
        array = np.asarray(indices)
        if array.size == 0:
            return np.zeros(0, np.int64)
        # A boolean mask would pass as the rows 0 and 1.
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"Rows are given as a list of integers, not as {array.ndim}-d {array.dtype}.")
        outside = array[(array < 0) | (array >= len(self))]
        if len(outside):
            raise InputError(f"Row {int(outside[0])} lies outside the pool of {len(self)} rows.")
        return array.astype(np.int64)
