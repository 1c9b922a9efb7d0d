"""A head that starts from a linear probe of the frozen encoder, in place of drawn weights."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.training.batching import TokenRows
from sec_rl.training.precision import Precision
from sec_rl.training.replicas import ALONE, Replicas
from sec_rl.training.trainer import predict

# Inverse strength of the penalty on standardised vectors. At ten times this the head makes no error on the first few
# hundred rows, and teaches the encoder nothing.
_INVERSE_PENALTY = 0.01
_ITERATIONS = 200
# A start needs no more, and reading a pool of many thousands would cost what a segment of training does.
MOST_ROWS = 2048
# A coordinate of the pooled vector that hardly moves is no evidence.
_LEAST_SPREAD = 1e-3


def fit_head(
    model: SlimEncoderForSequenceClassification,
    rows: TokenRows,
    labels: NDArray[np.int64],
    precision: Precision,
    replicas: Replicas = ALONE,
    *,
    classes: NDArray[np.int64] | None = None,
    most_rows: int = MOST_ROWS,
) -> bool:
    """Fit the classifier to the pooled vectors by logistic regression, before anything is fine-tuned.

    Fine-tuning from a drawn head spends its first passes on the head and moves the encoder by its errors meanwhile
    (linear probing, then fine-tuning: Kumar et al. 2022). Classes without a row keep their weights.

    A class whose first label is bought later was pushed away from every text until then; its weights alone can be
    fitted to the encoder as it is by then (imprinted weights, Qi et al. 2018, are its mean vector instead).

    Args:
        model: its classifier changes, in place.
        rows: (n,) token rows.
        labels: (n,) their classes.
        precision: number format of the forward passes.
        replicas: processes that share them.
        classes: whose weights are set, and whose rows are all read; None: those of every class that has a row.
        most_rows: of more than these, as many at even distances are read.

    Returns:
        whether it was fitted; it is not where all labels are the same or a vector holds no finite number.
    """
    if len(labels) > most_rows:
        read = np.linspace(0, len(labels) - 1, most_rows).round().astype(np.int64)
        if classes is not None:
            read = np.union1d(read, np.flatnonzero(np.isin(labels, classes)))
        rows, labels = rows.take(read), labels[read]
    _, pooled = predict(model, rows, precision, replicas=replicas)
    if len(np.unique(labels)) < 2 or not np.isfinite(pooled).all():
        return False
    mean, spread = pooled.mean(axis=0), pooled.std(axis=0) + _LEAST_SPREAD
    with warnings.catch_warnings():
        # A start is wanted, no optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_ITERATIONS).fit((pooled - mean) / spread, labels)
    weight, bias = probe.coef_, probe.intercept_
    if len(probe.classes_) == 2:
        # Of two classes scikit-learn keeps the difference.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / spread
    bias = bias - weight @ mean
    set_now = np.ones(len(probe.classes_), bool) if classes is None else np.isin(probe.classes_, classes)
    places = torch.from_numpy(probe.classes_[set_now])
    with torch.no_grad():
        model.classifier.weight[places] = torch.from_numpy(weight[set_now]).to(model.classifier.weight.dtype)
        model.classifier.bias[places] = torch.from_numpy(bias[set_now]).to(model.classifier.bias.dtype)
    return True
