"""Perplexity: masks as BERT's, a head that learns, a figure that falls with training and rises with damage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sec_rl.backends.bert import BertSession
from sec_rl.config import RunConfig
from sec_rl.tasks import Task, load_task
from sec_rl.training.batching import TokenRows
from sec_rl.training.masked_language import mask_tokens, round_as_exported
from sec_rl.values import Levers, Ratios


def test_masks_hide_15_percent_and_never_a_special_token() -> None:
    ids = np.random.default_rng(0).integers(5, 1000, (200, 50))
    ids[:, 0] = 1
    read, sought = mask_tokens(
        ids, special=np.array([0, 1, 2]), mask_id=3, vocabulary=1000, generator=np.random.default_rng(1)
    )
    hidden = sought != -100
    assert not hidden[:, 0].any()
    assert hidden[:, 1:].mean() == pytest.approx(0.15, abs=0.01)
    assert (read[hidden] == 3).mean() == pytest.approx(0.8, abs=0.03)
    assert (read[hidden] == ids[hidden]).mean() == pytest.approx(0.1, abs=0.02)
    assert np.array_equal(read[~hidden], ids[~hidden])
    assert np.array_equal(sought[hidden], ids[hidden])


def _opened() -> BertSession:
    whole = load_task("sms-spam")
    rows = np.arange(200)
    task = Task(
        whole.name, whole.label_names, whole.train.take(rows), whole.validation.take(rows), whole.test.take(rows[:20])
    )
    config = RunConfig(
        task="sms-spam",
        passes=768,
        n_segments=3,
        max_length=32,
        validation_rows=32,
        perplexity=True,
        pruning={"cost": "flops", "vocabulary": "pruned"},  # type: ignore[arg-type]
    )
    session = BertSession(config, task)
    session.open()
    return session


def _trained(session: BertSession, data_ratio: float) -> float:
    for _ in range(3):
        session.advance(Ratios(data_ratio, 0.0), Levers())
    perplexity = session._perplexity(rounded=False)
    assert perplexity is not None
    return perplexity


def test_head_reads_texts_whose_labels_nobody_bought(monkeypatch: pytest.MonkeyPatch) -> None:
    session = _opened()
    assert session.language is not None
    read: list[int] = []
    whole, texts = TokenRows.take, replace(session.rows)
    # A pool of its own, so that what the classifier takes is not counted.
    session.language.rows = texts

    def take(rows: TokenRows, indices: NDArray[np.int64]) -> TokenRows:
        if rows is texts:
            read.extend(indices.tolist())
        return whole(rows, indices)

    monkeypatch.setattr(TokenRows, "take", take)
    session.advance(Ratios(0.1, 0.0), Levers())
    bought = np.flatnonzero(session.pool.bought)
    assert len(bought) == 20
    assert len(read) == len(set(read)) > 2 * len(bought)


def test_head_learns_and_damage_shows() -> None:
    session = _opened()
    assert session.language is not None
    vocabulary = session.model.config.vocab_size
    held_out = session._tokenize(session.task.validation)

    def perplexity(words: torch.Tensor | None = None) -> float:
        assert session.language is not None
        found = session.language.perplexity(session.model.encoder, held_out, seed=0, words=words)
        assert found is not None
        return found

    untrained = perplexity()
    trained = _trained(session, 1.0)
    assert trained < 0.5 * untrained
    assert trained < 0.3 * vocabulary
    assert trained == perplexity()
    words = session.model.encoder.embeddings.word.weight.detach().clone()
    round_as_exported(session.model.encoder)
    assert perplexity(words) == pytest.approx(trained, rel=0.05)
    # Half a byte is too little for a decoder.
    assert perplexity() > 1.05 * trained
    with torch.no_grad():
        session.model.encoder.embeddings.word.weight.normal_()
    assert perplexity() > 1.5 * trained
    assert math.isfinite(perplexity())


def test_of_nothing_masked_there_is_no_perplexity() -> None:
    session = _opened()
    assert session.language is not None
    one = session.rows.take(np.arange(1))
    special = np.array([session.tokenizer.cls_token_id, session.tokenizer.sep_token_id])
    empty = replace(one, ids=(special,), segments=None if one.segments is None else (np.zeros(2, np.int64),))
    assert session.language.perplexity(session.model.encoder, empty, seed=0) is None
