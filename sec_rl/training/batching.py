"""Token rows, length-bucketed batches, and a stream of them that can be continued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from sec_rl.measurement.prediction import Encodings, padded_feed
from sec_rl.training.ragged import pack, unpack

# Batches of a bucket are cut from this many shuffled batches sorted by length: padding falls to a few percent
# while the order stays random.
BUCKET_BATCHES = 24


@dataclass(frozen=True)
class TokenRows:
    """Tokenised texts of different length.

    Attributes:
        ids: one int64 array of token ids per text, special tokens included.
        segments: one int64 array of segment ids per text, or None where the encoder has none.
        pad_id: id that fills a batch up.
    """

    ids: tuple[NDArray[np.int64], ...]
    segments: tuple[NDArray[np.int64], ...] | None
    pad_id: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per text, (n,)."""
        return np.array([len(row) for row in self.ids], np.int64)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> TokenRows:
        """Return the rows at `indices`, in that order."""
        segments = None if self.segments is None else tuple(self.segments[i] for i in indices)
        return TokenRows(tuple(self.ids[i] for i in indices), segments, self.pad_id)

    @property
    def encodings(self) -> Encodings:
        """The same rows as the exported file's predictions take them."""
        return Encodings(self.ids, self.segments, self.pad_id)

    def pad(self) -> dict[str, Tensor]:
        """Return all rows as one batch: `input_ids`, `attention_mask` and, if there are any, `token_type_ids`."""
        feed = padded_feed(self.encodings, range(len(self)))
        if self.segments is None:
            del feed["token_type_ids"]
        return {name: torch.from_numpy(values) for name, values in feed.items()}


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    max_length: int,
    with_segments: bool,
) -> TokenRows:
    """Encode texts, or pairs of texts, cutting what is longer than `max_length` tokens."""
    if not texts:
        return TokenRows((), () if with_segments else None, int(tokenizer.pad_token_id or 0))
    second = None if pairs is None else list(pairs)
    encoded = tokenizer(
        list(texts), second, truncation=True, max_length=max_length, return_token_type_ids=with_segments
    )
    ids = tuple(np.asarray(row, np.int64) for row in encoded["input_ids"])
    segments = None
    if with_segments:
        segments = tuple(np.asarray(row, np.int64) for row in encoded["token_type_ids"])
    return TokenRows(ids, segments, int(tokenizer.pad_token_id))


def bucketed_batches(
    lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Cut one shuffled pass over all rows into batches of similar length.

    Args:
        lengths: tokens per row, (n,).
        batch_size: rows per batch; the last batch of a pass may be smaller.
        generator: decides the order.

    Returns:
        arrays of row indices that together hold every row once, in random order.
    """
    order = generator.permutation(len(lengths))
    span = batch_size * BUCKET_BATCHES
    batches = []
    for start in range(0, len(order), span):
        chunk = order[start : start + span]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


class BatchStream:
    """Endless batches over a changing set of rows; every row is seen once before any is seen twice.

    Rows that join take part in the pass that is under way, and what it has left goes on: labels that are bought a few
    at a time are learned from at once. If every purchase began a pass anew, the last ones bought would mostly wait
    behind rows that have been seen often.

    Attributes:
        members: rows in use, ascending.
    """

    def __init__(self, lengths: NDArray[np.int64], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._generator = np.random.default_rng(seed)
        self._queue: list[NDArray[np.int64]] = []
        self.members: NDArray[np.int64] = np.arange(0)

    def use(self, members: NDArray[np.int64]) -> None:
        """Draw from `members` from now on: the pass goes on with those it has left and those that are new."""
        members = np.unique(members)
        if not np.array_equal(members, self.members):
            left = np.concatenate([np.arange(0), *self._queue])
            new = np.setdiff1d(members, self.members, assume_unique=True)
            self.members = members
            self._queue = self._batches(np.union1d(np.intersect1d(left, members, assume_unique=True), new))

    def next(self) -> NDArray[np.int64]:
        """Return the next batch of row indices."""
        if not self._queue:
            self._queue = self._batches(self.members)
        return self._queue.pop()

    def _batches(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        batches = bucketed_batches(self._lengths[rows], self._batch_size, self._generator)
        return [rows[batch] for batch in batches]

    def state(self) -> dict[str, Any]:
        """Return everything that decides the batches to come: arrays and JSON-ready values."""
        queue = pack(self._queue)
        return {"generator": self._generator.bit_generator.state, "members": self.members, "queue": queue}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the stream was that gave `state`."""
        self._generator.bit_generator.state = state["generator"]
        self.members, self._queue = state["members"], unpack(state["queue"])
