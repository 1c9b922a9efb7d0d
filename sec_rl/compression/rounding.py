"""Rounding of weights: a byte an entry for matrices, half a byte for the words' embeddings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# Largest magnitude of a row that a nibble still tells apart, as a share of the row's largest: entries are about
# normally distributed, and finer steps for all of them are worth more than the few beyond.
_CLIPPED_AT = (1.0, 0.9, 0.8, 0.7, 0.6)
# Rows at once, so that they stay in the cache: four times faster than all of them.
_BLOCK = 256
# Of a nibble's 16 codes, so that they lie evenly around zero.
NIBBLE_CENTRE = 7.5
# A few hundred numbers each: rounding them would save nothing and cost accuracy.
_WHOLE = ("segment", "relative", "classifier")


def stored_as(name: str, n_dimensions: int) -> Literal["floats", "bytes", "nibbles"]:
    """Return how the exported file holds a parameter of a model, or of a part of it, by its name."""
    if n_dimensions < 2 or any(part in name for part in _WHOLE):
        return "floats"
    return "nibbles" if name.endswith("embeddings.word.weight") else "bytes"


def quantize_rows(matrix: Array) -> tuple[NDArray[np.int8], Array]:
    """Round each row to int8, symmetric around zero (Jacob et al. 2018).

    Args:
        matrix: (rows, columns).

    Returns:
        codes (rows, columns) in [-127, 127] and scales (rows,), such that ``codes * scales`` is near `matrix`.
    """
    scales = np.abs(matrix).max(axis=1) / 127.0
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    codes = np.clip(np.rint(matrix / scales[:, None]), -127, 127).astype(np.int8)
    return codes, scales


def quantize_nibbles(table: Array) -> tuple[NDArray[np.uint8], Array]:
    """Round each row to 4 bits, symmetric around zero, where clipping the row's extremes loses least.

    The scale is the best of a few by squared error (as in OMSE, Choukroun et al. 2019).

    Args:
        table: (rows, columns).

    Returns:
        codes (rows, columns) in [0, 15] and scales (rows,), such that ``(codes - NIBBLE_CENTRE) * scales`` is near
        `table`.
    """
    codes, scales = np.empty(table.shape, np.uint8), np.empty(len(table), np.float32)
    for start in range(0, len(table), _BLOCK):
        block = slice(start, start + _BLOCK)
        codes[block], scales[block] = _nibbles(table[block])
    return codes, scales


def _nibbles(rows: Array) -> tuple[NDArray[np.uint8], Array]:
    largest = np.abs(rows).max(axis=1)
    least = np.full(len(rows), np.inf, np.float32)
    codes, scales = np.zeros(rows.shape, np.uint8), np.zeros(len(rows), np.float32)
    for share in _CLIPPED_AT:
        scale = (largest * (share / (NIBBLE_CENTRE + 0.5))).astype(np.float32)
        steps = rows / np.where(scale > 0.0, scale, np.float32(1.0))[:, None]
        coded = np.clip(np.floor(steps), np.float32(-8.0), np.float32(7.0))
        off = (coded + np.float32(0.5)) * scale[:, None] - rows
        error = np.einsum("ij,ij->i", off, off)
        better = error < least
        least[better], scales[better] = error[better], scale[better]
        codes[better] = (coded[better] + np.float32(8.0)).astype(np.uint8)
    return codes, scales


def pack_nibbles(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (rows, columns / 2) bytes: low nibbles hold the first half of a row's codes, high ones the second."""
    half = codes.shape[1] // 2
    packed: NDArray[np.uint8] = np.bitwise_or(codes[:, :half], codes[:, half:] << 4, dtype=np.uint8)
    return packed
