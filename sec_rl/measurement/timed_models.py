"""The models a timing process can hold: per kind, how to load it and what one timed call does.

torch and transformers are imported by the kinds that need them only, so that a process that times an ONNX
file holds nothing that a deployed one would not.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.errors import InputError
from sec_rl.measurement.onnx_session import open_session

# One call: with a batch size for classifiers, with a model's number for blocks.
Run = Callable[[int], None]

_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def token_ids(batch: int, length: int, vocabulary: int) -> NDArray[np.int64]:
    """Return the token ids that are timed, (batch, length), the same in every process."""
    return np.random.default_rng(0).integers(0, vocabulary, (batch, length), dtype=np.int64)


def vocabulary_beside(path: Path) -> int:
    """Return `vocab_size` of the `config.json` in an ONNX file's folder.

    Raises:
        InputError: there is none.
    """
    config = path.parent / "config.json"
    try:
        return int(json.loads(config.read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(path)!r} needs a `vocabulary` to be timed with: {str(config)!r} gives no vocab_size."
        ) from error


def load_onnx(request: Mapping[str, Any]) -> Run:
    """Load an ONNX classifier; see `LatencyTarget` for the request's keys."""
    path = Path(request["path"])
    vocabulary = request["vocabulary"] or vocabulary_beside(path)
    session = open_session(path, threads=request["threads"])
    names = [node.name for node in session.get_inputs()]
    feeds: dict[int, dict[str, NDArray[np.int64]]] = {}

    def run(batch: int) -> None:
        if batch not in feeds:
            ids = token_ids(batch, request["sequence_length"], vocabulary)
            feed = {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
            }
            feeds[batch] = {name: feed[name] for name in names}
        session.run(None, feeds[batch])

    return run


def load_torch(request: Mapping[str, Any]) -> Run:
    """Load an encoder's folder as an eager fp32 classifier, or its dynamic int8 form."""
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(request["threads"])
    model = AutoModelForSequenceClassification.from_pretrained(
        request["path"],
        num_labels=request["n_classes"],
        attn_implementation="eager",
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
    ).eval()
    if request["kind"] == "torch-int8":
        with warnings.catch_warnings():
            # Deprecated by PyTorch in favour of torchao; it is timed as what people still deploy.
            warnings.filterwarnings("ignore", message=r".*torch\.ao\.quantization", category=DeprecationWarning)
            quantize: Any = torch.ao.quantization.quantize_dynamic
            model = quantize(model, {torch.nn.Linear}, dtype=torch.qint8)
    vocabulary = request["vocabulary"] or model.config.vocab_size
    feeds: dict[int, dict[str, torch.Tensor]] = {}

    def run(batch: int) -> None:
        if batch not in feeds:
            ids = torch.from_numpy(token_ids(batch, request["sequence_length"], vocabulary))
            feeds[batch] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            model(**feeds[batch])

    return run


def load_blocks(request: Mapping[str, Any]) -> Run:
    """Load many small ONNX files with fixed input shapes; a call runs the one with the given number."""
    blocks = [open_session(path, threads=request["threads"]) for path in request["paths"]]
    feeds = [random_feed(session) for session in blocks]

    def run(index: int) -> None:
        blocks[index].run(None, feeds[index])

    return run


def random_feed(session: Any) -> dict[str, NDArray[Any]]:
    """Return seeded inputs for a graph of fixed shapes: normal floats, ids of 0 or 1.

    Raises:
        InputError: an input has a free dimension or another type.
    """
    generator = np.random.default_rng(0)
    feed: dict[str, NDArray[Any]] = {}
    for node in session.get_inputs():
        if not all(isinstance(size, int) for size in node.shape):
            raise InputError(f"Input {node.name!r} has the free shape {node.shape}; a block's shapes are fixed.")
        if node.type not in _DTYPES:
            raise InputError(f"Input {node.name!r} is a {node.type}; known: {', '.join(_DTYPES)}.")
        if node.type == "tensor(float)":
            feed[node.name] = generator.standard_normal(node.shape).astype(np.float32)
        else:
            feed[node.name] = generator.integers(0, 2, node.shape, dtype=np.int64)
    return feed


LOADERS: Mapping[str, Callable[[Mapping[str, Any]], Run]] = {
    "onnx": load_onnx,
    "torch": load_torch,
    "torch-int8": load_torch,
    "blocks": load_blocks,
}
