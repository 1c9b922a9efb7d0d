"""How good predictions are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from sec_rl.errors import InputError
from sec_rl.measurement.prediction import Encodings, predict_onnx

__all__ = ["Encodings", "Scores", "classification_scores", "predict_onnx"]

# A wrong answer given with certainty costs ln(1e7) = 16.1 nats instead of infinitely many.
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Scores:
    """Quality of predictions.

    Attributes:
        accuracy: share of rows whose most probable class is right, in [0, 1].
        macro_f1: mean F1 over the classes that occur among labels or predictions, in [0, 1].
        loss: mean cross-entropy in nats, in [0, 16.2].
    """

    accuracy: float
    macro_f1: float
    loss: float


def classification_scores(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> Scores:
    """Score predictions; of equally probable classes the first counts as predicted.

    Args:
        probabilities: (n, classes), each row in [0, 1]; zeros are allowed.
        labels: (n,) in [0, classes).

    Raises:
        InputError: lengths differ, there are no rows, a label is out of range or a probability is not
            finite.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(labels) or not len(labels):
        raise InputError(f"Predictions of shape {probabilities.shape} do not fit {len(labels)} labels.")
    n_classes = probabilities.shape[1]
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(f"Labels span [{labels.min()}, {labels.max()}]; the model has {n_classes} classes.")
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise InputError(f"The model's prediction for row {row} is not finite.")
    predicted = probabilities.argmax(axis=1)
    right = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), _SMALLEST, 1.0)
    return Scores(
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
        loss=float(-np.log(right).mean()),
    )
