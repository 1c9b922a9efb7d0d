"""A head that is fitted to the first labels, before anything is fine-tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sec_rl.training import fitted_head
from sec_rl.training.fitted_head import fit_head

HIDDEN, ROWS = 16, 120


class Model:
    """Stands for an encoder whose pooled vectors are given."""

    def __init__(self, classes: int) -> None:
        torch.manual_seed(0)
        self.classifier = torch.nn.Linear(HIDDEN, classes)


def fit(monkeypatch: pytest.MonkeyPatch, labels: np.ndarray, classes: int, pooled: np.ndarray) -> tuple[Model, bool]:
    model: Any = Model(classes)
    monkeypatch.setattr(fitted_head, "predict", lambda *_, **__: (None, pooled))
    return model, fit_head(model, None, labels, "fp32")  # type: ignore[arg-type]


def vectors(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return pooled vectors around a centre per class, with an offset and a scale that a probe has to undo."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(10, HIDDEN))
    spread = 0.3 * generator.normal(size=(len(labels), HIDDEN))
    return np.asarray(5.0 + 0.1 * (centres[labels] + spread), np.float32)


def accuracy_on_others(model: Model, labels: np.ndarray) -> float:
    """Return the share of rows of these classes, drawn anew, that the classifier knows."""
    with torch.no_grad():
        predicted = model.classifier(torch.from_numpy(vectors(labels, seed=1))).argmax(dim=1).numpy()
    return float((predicted == labels).mean())


@pytest.mark.parametrize("classes", [2, 5])
def test_the_fitted_head_knows_rows_that_it_has_not_seen(monkeypatch: pytest.MonkeyPatch, classes: int) -> None:
    labels = np.arange(ROWS) % classes
    model, fitted = fit(monkeypatch, labels, classes, vectors(labels))
    assert fitted
    assert accuracy_on_others(model, labels) > 0.95


def test_a_class_without_rows_keeps_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(ROWS) % 3
    labels[labels == 1] = 3
    model, _ = fit(monkeypatch, labels, 5, vectors(labels))
    drawn = Model(5).classifier
    kept = [torch.equal(model.classifier.weight[k], drawn.weight[k]) for k in range(5)]
    assert kept == [False, True, False, False, True]


def test_classes_that_come_later_are_fitted_and_the_others_stay_as_they_were_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    early, all_labels = np.arange(ROWS) % 4, np.arange(ROWS) % 5
    model, _ = fit(monkeypatch, early, 5, vectors(early))
    trained = model.classifier.weight.detach().clone()
    monkeypatch.setattr(fitted_head, "predict", lambda *_, **__: (None, vectors(all_labels, seed=2)))
    assert accuracy_on_others(model, all_labels) < 0.85
    assert fit_head(model, None, all_labels, "fp32", classes=np.array([4]))  # type: ignore[arg-type]
    assert torch.equal(model.classifier.weight[:4], trained[:4])
    assert accuracy_on_others(model, all_labels) > 0.95


def test_every_row_of_a_class_that_comes_later_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros(ROWS, np.int64)
    labels[:40], labels[[41, 77]] = 1, 4
    read: list[int] = []

    class Rows:
        def take(self, indices: np.ndarray) -> np.ndarray:
            read.extend(indices.tolist())
            return indices

    monkeypatch.setattr(fitted_head, "predict", lambda _, rows, *__, **___: (None, vectors(labels)[rows]))
    model: Any = Model(5)
    assert fit_head(model, Rows(), labels, "fp32", classes=np.array([4]), most_rows=20)  # type: ignore[arg-type]
    assert {41, 77} <= set(read)
    assert len(read) <= 22


@pytest.mark.parametrize("fault", ["one class", "no number"])
def test_what_cannot_be_fitted_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    labels = np.zeros(ROWS, np.int64) if fault == "one class" else np.arange(ROWS) % 2
    pooled = vectors(labels)
    if fault == "no number":
        pooled[3, 4] = np.nan
    model, fitted = fit(monkeypatch, labels, 2, pooled)
    assert not fitted
    assert torch.equal(model.classifier.weight, Model(2).classifier.weight)


def test_of_many_rows_a_part_that_holds_every_class_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sorted by class, as files are at times.
    labels = np.repeat(np.arange(5), fitted_head.MOST_ROWS)
    pooled, read = vectors(labels), []

    class Rows:
        def take(self, indices: np.ndarray) -> np.ndarray:
            return indices

    def predict(_model: Any, rows: np.ndarray, *_: Any, **__: Any) -> tuple[None, np.ndarray]:
        read.append(len(rows))
        return None, pooled[rows]

    monkeypatch.setattr(fitted_head, "predict", predict)
    model: Any = Model(5)
    assert fit_head(model, Rows(), labels, "fp32")  # type: ignore[arg-type]
    assert read == [fitted_head.MOST_ROWS]
    assert accuracy_on_others(model, labels) > 0.95
