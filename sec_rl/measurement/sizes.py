"""Bytes and parameters, read from the heads of files; nothing is loaded."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sec_rl.errors import InputError

# Heads of other tasks and the pooler, which the classification head's own dense layer stands for; buffers.
_NOT_ENCODER = ("cls.", "lm_head.", "vocab_", "classifier.", "pre_classifier.", "pooler.", "qa_outputs.")
_PREFIXES = ("bert.", "mpnet.", "roberta.", "distilbert.", "electra.", "xlm-roberta.")


def file_bytes(path: Path) -> int:
    """Return the size of a file on disk.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"There is no file {str(path)!r}.")
    return path.stat().st_size


def dense_parameters(encoder: Path, n_classes: int) -> int:
    """Return the parameters of an encoder with a classification head of the BERT family.

    The head is a dense layer as wide as the encoder (BERT's pooler, RoBERTa's and MPNet's head) and a
    linear layer to the classes.

    Args:
        encoder: folder with `config.json` and `model.safetensors`.
        n_classes: classes of the task.

    Raises:
        InputError: a file is missing or unreadable, or the configuration gives no width.
    """
    weights = encoder / "model.safetensors"
    total = 0
    try:
        config = json.loads((encoder / "config.json").read_text(encoding="utf-8"))
        hidden = int(config.get("hidden_size") or config["dim"])
        with safe_open(weights, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                if _is_encoder(name):
                    total += prod(file.get_slice(name).get_shape())
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        raise InputError(f"Encoder folder {str(encoder)!r} cannot be measured: {error}") from error
    return total + hidden * hidden + hidden + hidden * n_classes + n_classes


def dense_fp32_bytes(encoder: Path, n_classes: int) -> int:
    """Return the bytes of the uncompressed fp32 model: four per parameter; see `dense_parameters`."""
    return 4 * dense_parameters(encoder, n_classes)


def _is_encoder(name: str) -> bool:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return not name.startswith(_NOT_ENCODER) and not name.endswith("position_ids")
