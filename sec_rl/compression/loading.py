"""From an encoder's folder or hub id to a dense slim model that classifies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from sec_rl.compression.adapters import adapter_for
from sec_rl.compression.encoder_folder import check_encoder_folder
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.errors import InputError


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' load reports and bars off the user's terminal; restores both afterwards."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def load_dense(
    source: str, label_names: Sequence[str], seed: int
) -> tuple[SlimEncoderForSequenceClassification, PreTrainedTokenizerBase]:
    """Load an encoder and its tokenizer; a classifier of the same classes keeps its head.

    Args:
        source: local directory or hub id, as `resolve_encoder` gives it.
        label_names: names of the classes, in the order of their ids.
        seed: seed of a fresh classification head.

    Raises:
        InputError: the encoder cannot be loaded, is a pruned model already, or its architecture has no adapter.
    """
    if Path(source).is_dir():
        check_encoder_folder(Path(source))
    with quiet_transformers():
        try:
            stock_config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            if stock_config.model_type == SlimEncoderConfig.model_type:
                raise InputError(f"{source!r} is a pruned model; a run starts from a dense one and prunes it.")
            adapter_for(stock_config.model_type)
            auto = AutoModelForSequenceClassification if _classifies(stock_config, label_names) else AutoModel
            stock = auto.from_pretrained(source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, use_fast=True)
        except InputError:
            raise
        # A damaged folder makes transformers, tokenizers and safetensors raise whatever they stumble over.
        except Exception as error:
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"Encoder {source!r} cannot be loaded: {first_line}") from error
    return slim_from_stock(stock, source, label_names, seed), tokenizer


def slim_from_stock(
    stock: PreTrainedModel, source: str, label_names: Sequence[str], seed: int
) -> SlimEncoderForSequenceClassification:
    """Read a stock model into a dense slim one of its own; a head that it lacks is drawn anew.

    Args:
        stock: of an architecture that has an adapter.
        source: what to call it in errors.
        label_names: names of the classes, in the order of their ids.
        seed: seed of a fresh classification head.

    Raises:
        InputError: its architecture has no adapter, or its activation is another than GELU.
    """
    adapter = adapter_for(stock.config.model_type)
    config = adapter.read_config(stock.config)
    if config.hidden_act != "gelu":
        raise InputError(f"Encoder {source!r} uses activation {config.hidden_act!r}; only 'gelu' is supported.")
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = SlimEncoderForSequenceClassification(config)
    torch.random.set_rng_state(generator_state)
    missing = model.load_state_dict(adapter.read_weights(stock.state_dict()), strict=False)
    model.has_drawn_head = "classifier.weight" in missing.missing_keys
    wrong = [n for n in missing.missing_keys if not n.startswith(("classifier", "pooler"))]
    if wrong or missing.unexpected_keys:
        raise InputError(f"Encoder {source!r} lacks weights: {', '.join((wrong + missing.unexpected_keys)[:5])}.")
    return model


def _classifies(config: PreTrainedConfig, label_names: Sequence[str]) -> bool:
    """Return whether a stock model was trained for these classes, in this order."""
    classifies = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    return classifies and [config.id2label[index] for index in sorted(config.id2label)] == list(label_names)
