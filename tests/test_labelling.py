"""What a purchase of labels costs, and which labels it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sec_rl.tasks import LabelPool, Split
from sec_rl.training import labelling

N_ROWS, CERTAIN = 1000, 500


class Rows:
    """Stands for tokens: what is taken are the numbers of the rows."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        return rows


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a model be sure of the first half of the pool; return how many rows each call scored."""
    counts: list[int] = []

    def predict(model: Any, rows: np.ndarray, precision: Any, **_: Any) -> tuple[np.ndarray, np.ndarray]:
        counts.append(len(rows))
        right = np.where(rows < CERTAIN, 0.99, 0.55)
        return np.stack([right, 1.0 - right], axis=1), np.zeros((len(rows), 2))

    monkeypatch.setattr(labelling, "predict", predict)
    return counts


def buy(ratios: list[float], passes: int, selection: str = "margin") -> np.ndarray:
    """Return the rows in use after several purchases."""
    split = Split(tuple(str(row) for row in range(N_ROWS)), None, np.arange(N_ROWS) % 2)
    pool = LabelPool(split)
    generator = np.random.default_rng(0)
    for ratio in ratios:
        used = labelling.rows_in_use(
            None,  # type: ignore[arg-type]
            pool,
            Rows(),  # type: ignore[arg-type]
            ratio,
            selection=selection,
            least=1,
            passes=passes,
            precision=None,  # type: ignore[arg-type]
            generator=generator,
        )
    return used


def test_a_purchase_scores_four_candidates_per_label_and_takes_what_the_model_doubts(scored: list[int]) -> None:
    used = buy([0.1, 0.2], passes=1000)
    assert scored == [400]
    assert len(used) == 200
    assert (used >= CERTAIN).mean() > 0.7


def test_leaving_a_few_rows_out_does_not_score_all_of_them(scored: list[int]) -> None:
    used = buy([1.0, 0.98], passes=1000)
    assert scored == [80]
    assert len(used) == len(set(used.tolist())) == 980
    out = np.setdiff1d(np.arange(N_ROWS), used)
    # The model calls every row even: of those that are, the ones it is sure of go; each class goes at its share.
    assert (out[out % 2 == 0] < CERTAIN).mean() > 0.9
    assert 5 <= (out % 2 == 0).sum() <= 15
    scored.clear()
    assert len(buy([1.0, 0.2], passes=100)) == 200
    assert scored == [N_ROWS]


def test_what_a_segment_cannot_train_on_is_not_chosen_with_care(scored: list[int]) -> None:
    used = buy([0.1, 0.4], passes=200)
    assert scored == [400]
    assert len(used) == 400
    scored.clear()
    assert len(buy([0.1, 0.7], passes=200)) == 700
    assert len(buy([0.1, 1.0], passes=1000)) == N_ROWS
    assert len(buy([0.1, 0.2], passes=1000, selection="random")) == 200
    assert scored == []
