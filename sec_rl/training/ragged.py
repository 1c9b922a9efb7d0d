"""Arrays of different length as two of fixed shape, as files of tensors hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def pack(rows: Sequence[Indices]) -> dict[str, Indices]:
    """Return `values`, all rows end to end, and `lengths`, one per row."""
    values = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return {"values": values.astype(np.int64), "lengths": np.array([len(row) for row in rows], np.int64)}


def unpack(packed: Mapping[str, Indices]) -> list[Indices]:
    """Return the rows that `pack` was given."""
    if not len(packed["lengths"]):
        return []
    return np.split(packed["values"], np.cumsum(packed["lengths"])[:-1])
