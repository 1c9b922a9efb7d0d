"""How good predictions are, and the predictions of an exported file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from sklearn.metrics import f1_score

Probabilities = NDArray[np.float32]
Feed = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Scores:
    """Quality of predictions.

    Attributes:
        accuracy: share of rows whose most probable class is right, in [0, 1].
        macro_f1: mean F1 over the classes that occur, in [0, 1].
        loss: mean cross-entropy in nats, finite and at least 0.
    """

    accuracy: float
    macro_f1: float
    loss: float


def classification_scores(probabilities: Probabilities, labels: NDArray[np.int64]) -> Scores:
    """Score probabilities (n, classes) against labels (n,).

    Raises:
        ValueError: the lengths differ or there are no rows.
    """
    if len(probabilities) != len(labels) or not len(labels):
        raise ValueError(f"{len(probabilities)} predictions for {len(labels)} labels")
    predicted = probabilities.argmax(axis=1)
    right = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1.0)
    return Scores(
        float((predicted == labels).mean()),
        float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
        float(-np.log(right).mean()),
    )


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Turn logits (n, classes) into probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Probabilities = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def predict_onnx(
    path: Path,
    lengths: NDArray[np.int64],
    make_feed: Callable[[NDArray[np.int64]], Feed],
    *,
    threads: int,
    batch_size: int = 32,
) -> Probabilities:
    """Run an exported classifier over rows, sorted by length to save padding.

    Args:
        path: the `model.onnx`.
        lengths: tokens per row, (n,).
        make_feed: padded inputs of the rows at the given indices.
        threads: threads of onnxruntime.
        batch_size: rows per call.

    Returns:
        (n, classes) in the order of the rows.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {node.name for node in session.get_inputs()}
    order = np.argsort(lengths, kind="stable")
    parts = []
    for start in range(0, len(order), batch_size):
        feed = make_feed(order[start : start + batch_size])
        parts.append(session.run(["logits"], {k: v for k, v in feed.items() if k in names})[0])
    logits = np.concatenate(parts)
    result = np.empty_like(logits)
    result[order] = logits
    return softmax(result)
