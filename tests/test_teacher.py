"""Distillation: what the teacher remembers, and when its token states count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.training import trainer
from sec_rl.training.batching import TokenRows
from sec_rl.training.teacher import Teacher, distillation_loss, hidden_loss
from sec_rl.training.trainer import Batch, train_step

ROWS = TokenRows(tuple(np.arange(2, 2 + n) for n in (5, 7, 4)), None, 0)
INDICES = np.array([2, 0])


def model() -> SlimEncoderForSequenceClassification:
    """Return a tiny model."""
    config = SlimEncoderConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    return SlimEncoderForSequenceClassification(config)


def loss(*, edited: bool) -> float:
    """Return the loss of a step on the same two texts, declared edited or not."""
    torch.manual_seed(0)
    teacher = Teacher(model(), len(ROWS), "fp32")
    student = model()
    return train_step(
        student,
        torch.optim.SGD(student.parameters(), lr=0.0),
        Batch(ROWS.take(INDICES), np.array([0, 1]), INDICES, edited=edited),
        precision="fp32",
        shape=EncoderShape.dense(3, 2, 32),
        importance=None,
        teacher=teacher,
        pool=ROWS,
        distillation_weight=0.5,
    )


def test_token_states_of_edited_texts_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    with_states, without = loss(edited=False), loss(edited=True)
    monkeypatch.setattr(trainer, "HIDDEN_WEIGHT", 0.0)
    assert loss(edited=False) == pytest.approx(without)
    assert with_states > without + 1e-3


def test_answers_are_kept_and_match_the_model() -> None:
    torch.manual_seed(0)
    dense = model()
    teacher = Teacher(dense, len(ROWS), "fp32")
    first, hidden = teacher.answer(ROWS, INDICES)
    with torch.no_grad():
        expected = dense.eval()(**ROWS.take(INDICES).pad()).logits
        for parameter in dense.parameters():
            parameter.zero_()
    again, _ = teacher.answer(ROWS, INDICES)
    torch.testing.assert_close(first, expected)
    assert torch.equal(first, again)
    assert hidden.shape == (2, 5, 16)
    assert not hidden[0, 4].any()


def test_losses_vanish_only_for_equal_answers() -> None:
    logits = torch.tensor([[1.0, -1.0, 0.5]])
    assert distillation_loss(logits, logits + 3.0).item() == pytest.approx(0.0, abs=1e-6)
    assert distillation_loss(logits, -logits).item() > 0.1
    states, mask = torch.ones(1, 3, 4), torch.tensor([[1, 1, 0]])
    other = states.clone()
    other[0, 2] = 9.0
    assert hidden_loss(states, other, mask).item() == 0.0
    other[0, 0] = 2.0
    assert hidden_loss(states, other, mask).item() == pytest.approx(0.5)
