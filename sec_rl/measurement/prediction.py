"""Predictions of an exported file; needs numpy and onnxruntime only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError
from sec_rl.measurement.onnx_session import open_session

Probabilities = NDArray[np.float32]
Ids = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True)
class Encodings:
    """Tokenised texts of different length, not padded.

    Attributes:
        input_ids: token ids of each text, special tokens included, at least one per text.
        token_type_ids: segment ids of each text, as long as its `input_ids`; None where the encoder has
            none.
        pad_id: id that fills a batch up.
    """

    input_ids: Sequence[Ids]
    token_type_ids: Sequence[Ids] | None
    pad_id: int

    def __post_init__(self) -> None:
        lengths = [len(row) for row in self.input_ids]
        if 0 in lengths:
            raise InputError(f"Row {lengths.index(0)} has no tokens.")
        if self.token_type_ids is not None and lengths != [len(row) for row in self.token_type_ids]:
            raise InputError("token_type_ids and input_ids differ in length.")

    def __len__(self) -> int:
        return len(self.input_ids)


def softmax(logits: NDArray[np.floating[Any]]) -> Probabilities:
    """Turn logits (n, classes) into probabilities (n, classes) that are finite for any finite logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Probabilities = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def padded_feed(encodings: Encodings, rows: Sequence[int] | NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Pad the texts at `rows` to the longest of them.

    Returns:
        `input_ids`, `attention_mask` and `token_type_ids` (zeros where the encodings have none), each int64
        (len(rows), longest).
    """
    longest = max(len(encodings.input_ids[row]) for row in rows)
    ids = np.full((len(rows), longest), encodings.pad_id, np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for position, row in enumerate(rows):
        length = len(encodings.input_ids[row])
        ids[position, :length] = encodings.input_ids[row]
        mask[position, :length] = 1
        if encodings.token_type_ids is not None:
            types[position, :length] = encodings.token_type_ids[row]
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def predict_session(session: Any, encodings: Encodings, *, batch_size: int = 32) -> Probabilities:
    """Run an open classifier over texts, in batches of similar length so that little is padded.

    A dynamically quantised model rounds a batch's activations together, so its probabilities depend
    slightly (in the third digit) on which texts share a batch; the same texts in the same order always give
    the same result.

    Args:
        session: what `open_session` returned; inputs `input_ids`, `attention_mask` and optionally
            `token_type_ids`, first output `logits` (batch, classes).
        encodings: the texts, at least one.
        batch_size: texts per call, at least 1.

    Returns:
        (n, classes) in the order of the texts.

    Raises:
        InputError: there are no texts, or the model wants other inputs, fails, or gives no row per text.
    """
    if not len(encodings):
        raise InputError("There are no texts to predict.")
    if batch_size < 1:
        raise InputError(f"batch size is {batch_size}; it must be at least 1.")
    wanted = [node.name for node in session.get_inputs()]
    order = np.argsort([len(row) for row in encodings.input_ids], kind="stable")
    output = session.get_outputs()[0].name
    parts = []
    for start in range(0, len(order), batch_size):
        feed = padded_feed(encodings, order[start : start + batch_size])
        foreign = sorted(set(wanted) - set(feed))
        if foreign:
            raise InputError(f"The ONNX model wants the input {foreign[0]!r}; known: {', '.join(feed)}.")
        parts.append(softmax(_run(session, output, {name: feed[name] for name in wanted}, len(feed["input_ids"]))))
    probabilities = np.concatenate(parts)
    restored = np.empty_like(probabilities)
    restored[order] = probabilities
    return restored


def _run(session: Any, output: str, feed: dict[str, Any], n_texts: int) -> Any:
    """Return an output of the model for a batch, (n_texts, classes).

    Raises:
        InputError: the model fails on it, or gives something else.
    """
    try:
        rows = np.asarray(session.run([output], feed)[0])
    # onnxruntime's own exceptions share no base class but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"The ONNX model fails on {n_texts} texts: {reason}") from error
    if rows.ndim != 2 or len(rows) != n_texts or rows.dtype.kind not in "fiu":
        raise InputError(f"The ONNX model gives {rows.shape} values of type {rows.dtype} for {n_texts} texts.")
    return rows


def predict_onnx(path: Path, encodings: Encodings, *, threads: int, batch_size: int = 32) -> Probabilities:
    """Open an exported classifier and run it over texts; see `predict_session`.

    Args:
        path: the `model.onnx`.
        encodings: the texts, at least one.
        threads: threads of onnxruntime.
        batch_size: texts per call.

    Returns:
        (n, classes) in the order of the texts.

    Raises:
        InputError: the file cannot be used, or there are no texts.
    """
    return predict_session(open_session(path, threads=threads), encodings, batch_size=batch_size)
