"""Predictions of an exported model by Optimum and OpenVINO; runs in an environment of its own, without sec-rl.

    python interop_worker.py MODEL REQUEST ANSWER

REQUEST is a JSON list of texts; ANSWER becomes `{"versions": .., "probabilities": {library: (texts, classes)}}`.
Each text is a batch of its own: dynamic int8 rounds a batch together.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("optimum", "optimum-onnx", "openvino", "transformers", "onnxruntime", "torch")
Logits = Callable[[dict[str, Any]], Any]


def optimum_onnxruntime(model: Path) -> Logits:
    """Return Optimum's ONNX Runtime class; its transformers knows no slim encoder, so it gets the plain config."""
    import torch
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import PretrainedConfig

    config = PretrainedConfig.from_json_file(str(model / "config.json"))
    loaded = ORTModelForSequenceClassification.from_pretrained(model, config=config)
    return lambda feed: loaded(**{name: torch.from_numpy(value) for name, value in feed.items()}).logits.numpy()


def openvino_runtime(model: Path) -> Logits:
    """Return OpenVINO's compiled model, read from the ONNX file."""
    import openvino

    compiled = openvino.Core().compile_model(str(model / "model.onnx"), "CPU")
    names = [port.get_any_name() for port in compiled.inputs]
    return lambda feed: compiled({name: feed[name] for name in names})[compiled.output(0)]


LIBRARIES: dict[str, Callable[[Path], Logits]] = {
    "Optimum ORTModelForSequenceClassification": optimum_onnxruntime,
    "OpenVINO": openvino_runtime,
}


def main(model: Path, request: Path, answer: Path) -> None:
    """Predict every text with every library."""
    from transformers import PreTrainedTokenizerFast

    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(model / "tokenizer.json"))
    texts = json.loads(request.read_text(encoding="utf-8"))
    feeds = []
    for text in texts:
        encoded = tokenizer(
            text, truncation=True, max_length=settings["model_max_length"], return_token_type_ids=True
        )
        feeds.append({name: np.array([encoded[name]], np.int64) for name in encoded})
    probabilities = {}
    for library, load in LIBRARIES.items():
        logits = load(model)
        rows = np.concatenate([logits(feed) for feed in feeds])
        shares = np.exp(rows - rows.max(axis=1, keepdims=True))
        probabilities[library] = (shares / shares.sum(axis=1, keepdims=True)).tolist()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    answer.write_text(json.dumps({"versions": versions, "probabilities": probabilities}), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:4]))
