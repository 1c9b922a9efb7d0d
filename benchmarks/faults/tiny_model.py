"""Models of a few kilobytes: an exported one, and an encoder to fine-tune."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a")
_LABELS = {"0": "down", "1": "up"}


def write_tiny_model(folder: Path) -> None:
    """Write what `sec-rl predict` takes: `model.onnx`, `config.json`, `tokenizer.json`."""
    from onnx import TensorProto, helper, numpy_helper

    table = np.linspace(-1.0, 1.0, 2 * len(PIECES), dtype=np.float32).reshape(len(PIECES), 2)
    weights = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "tokens")]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "tokens"], ["logits"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    _write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"id2label": _LABELS, "max_position_embeddings": 32}))


def write_tiny_encoder(folder: Path, width: int = 16, tokens: int = 32) -> None:
    """Write a BERT of two layers, as transformers saves it.

    Args:
        folder: to write it to.
        width: features per token, a multiple of 16.
        tokens: longest text.
    """
    import torch
    from transformers import BertConfig, BertModel

    from sec_rl.compression.loading import quiet_transformers

    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=tokens,
    )
    # The same weights every time: what a test or a kill finds can be found again.
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    _write_tokenizer(folder)


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    about = {"tokenizer_class": "BertTokenizer", "model_max_length": 16, **names, "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
