"""Changing a model that others hold: a Trainer keeps one object, whatever becomes of it."""

from __future__ import annotations

from transformers import PreTrainedModel

from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification


def become_slim(stock: PreTrainedModel, slim: SlimEncoderForSequenceClassification) -> None:
    """Turn a stock model into the slim one that was read from it; whoever holds the one now holds the other.

    Class, configuration, weights and hooks are those of `slim` from then on.
    """
    training = stock.training
    stock.__class__ = type(slim)
    vars(stock).update(vars(slim))
    stock.train(training)


def adopt(model: SlimEncoderForSequenceClassification, other: SlimEncoderForSequenceClassification) -> None:
    """Give a slim model another's layers, weights and configuration; what was patched onto it (autocast) stays."""
    training = model.training
    model.config = other.config
    for name, module in other.named_children():
        setattr(model, name, module)
    model.train(training)
