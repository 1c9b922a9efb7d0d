"""The process that holds one model (or many tiny ones) and times it when asked; see `latency`.

Reads one JSON request per line from standard input and answers with one JSON line on standard output. Only one worker
of a comparison computes at a time; onnxruntime's threads are told not to spin between its calls, because a waiting
worker would otherwise take the cores from the one that is measured.
"""

from __future__ import annotations

import base64
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[int], None]


def _token_ids(batch: int, length: int, vocabulary: int) -> Any:
    return np.random.default_rng(0).integers(0, vocabulary, (batch, length), dtype=np.int64)


def _onnx_session(source: Any, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _load_onnx(request: dict[str, Any]) -> Run:
    session = _onnx_session(request["path"], request["threads"])
    names = [node.name for node in session.get_inputs()]
    length, vocabulary = request["sequence_length"], request["vocabulary"]

    def run(batch: int) -> None:
        ids = feeds.setdefault(batch, _token_ids(batch, length, vocabulary))
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        session.run(None, {name: feed[name] for name in names})

    feeds: dict[int, Any] = {}
    return run


def _load_torch(request: dict[str, Any]) -> Run:
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
        # Deprecated upstream without a successor in PyTorch itself; it is measured as a competitor only.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    length, vocabulary = request["sequence_length"], request["vocabulary"]

    def run(batch: int) -> None:
        ids = feeds.setdefault(batch, torch.from_numpy(_token_ids(batch, length, vocabulary)))
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))

    feeds: dict[int, Any] = {}
    return run


def _load_blocks(request: dict[str, Any]) -> Run:
    sessions = []
    for model in request["models"]:
        session = _onnx_session(base64.b64decode(model), request["threads"])
        shape = session.get_inputs()[0].shape
        sessions.append((session, {"hidden": np.random.default_rng(0).normal(size=shape).astype(np.float32)}))

    def run(index: int) -> None:
        session, feed = sessions[index]
        session.run(None, feed)

    return run


_LOADERS: dict[str, Callable[[dict[str, Any]], Run]] = {
    "onnx": _load_onnx,
    "torch": _load_torch,
    "torch-int8": _load_torch,
    "blocks": _load_blocks,
}


def _timed(run: Run, argument: int, *, warmup: int, seconds: float, least: int, most: int) -> list[float]:
    for _ in range(warmup):
        run(argument)
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < least or (time.perf_counter() - start < seconds and len(times) < most):
        before = time.perf_counter()
        run(argument)
        times.append((time.perf_counter() - before) * 1e3)
    return times


def main() -> None:
    """Serve requests until standard input closes."""
    answers = sys.stdout
    # Libraries print to standard output at will; answers must stay alone on it.
    sys.stdout = sys.stderr
    run: Run | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["action"] == "load":
                run = _LOADERS[request["kind"]](request)
                answer: dict[str, Any] = {"ok": True}
            else:
                if run is None:
                    raise RuntimeError("nothing is loaded")
                times = _timed(
                    run,
                    request["argument"],
                    warmup=request["warmup"],
                    seconds=request["seconds"],
                    least=request["least"],
                    most=request["most"],
                )
                answer = {"ok": True, "times_ms": times}
        except Exception as error:
            # Whatever a model raises must reach the parent as a sentence, not as a dead pipe.
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
