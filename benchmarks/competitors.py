"""Other ways to a small model: dynamic int8 of onnxruntime and of PyTorch, and pruning with Torch-Pruning.

All start from the same fine-tuned dense model, the stock transformers class with eager attention.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from benchmarks.runs import BenchmarkError
from sec_rl.compression.loading import quiet_transformers
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.training.batching import BatchStream, TokenRows
from sec_rl.training.precision import autocast, resolve_precision
from sec_rl.training.schedule import rate_at

DEFAULT_RATE = float(RunConfig.model_fields["learning_rate"].default)
BATCH_SIZE = int(RunConfig.model_fields["batch_size"].default)
# Batches whose gradients decide what Torch-Pruning removes.
IMPORTANCE_BATCHES = 16
# Largest difference of a logit between a model and its fp32 graph.
PARITY_LIMIT = 1e-3


def load_stock(folder: Path) -> Any:
    """Return the fine-tuned dense model of a run as the stock transformers class, in evaluation mode.

    It goes on without dropout, as `sec-rl run` trains.
    """
    with quiet_transformers():
        return AutoModelForSequenceClassification.from_pretrained(
            folder,
            attn_implementation="eager",
            dtype=torch.float32,
            use_safetensors=True,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ).eval()


def fine_tune(
    model: Any,
    rows: TokenRows,
    labels: NDArray[np.int64],
    *,
    passes: int,
    batch_size: int,
    seed: int,
    peak: float = DEFAULT_RATE,
) -> None:
    """Train with cross-entropy, AdamW, warm-up and decay: the settings of `sec-rl run`, without its levers.

    Args:
        model: is changed in place and left in evaluation mode.
        rows: token rows of the training split.
        labels: (n,) class ids.
        passes: example passes.
        batch_size: examples per step.
        seed: order of the examples.
        peak: highest learning rate.
    """
    precision = resolve_precision("auto")
    stream = BatchStream(rows.lengths, batch_size, seed)
    stream.use(np.arange(len(rows)))
    # Biases and norms do not decay, as in `make_optimizer`.
    groups = [
        {"params": [each for each in model.parameters() if (each.ndim > 1) == decays], "weight_decay": decay}
        for decays, decay in ((True, 0.01), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=peak, fused=True)
    model.train()
    done = 0
    while done < passes:
        chosen = stream.next()
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done / passes, peak)
        with autocast(precision):
            loss = model(**rows.take(chosen).pad(), labels=torch.from_numpy(labels[chosen])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done += len(chosen)
    model.eval()


def prune_with_library(
    model: Any, rows: TokenRows, labels: NDArray[np.int64], *, share: float, batch_size: int, seed: int
) -> None:
    """Remove `share` of the heads and of the feed-forward neurons of every layer with Torch-Pruning.

    First-order importance (its `GroupTaylorImportance`) from gradients of the training loss; whole heads go, as in
    the library's transformer examples.

    Args:
        model: a stock BERT classifier; is changed in place.
        rows: token rows of the training split.
        labels: (n,) class ids.
        share: in (0, 1).
        batch_size: examples per gradient batch.
        seed: choice of the batches.

    Raises:
        InputError: the model is no BERT.
    """
    import torch_pruning

    if model.config.model_type != "bert":
        raise InputError(f"Torch-Pruning is set up for BERT here, not for {model.config.model_type!r}.")
    stream = BatchStream(rows.lengths, batch_size, seed)
    stream.use(np.arange(len(rows)))
    model.zero_grad()
    for _ in range(IMPORTANCE_BATCHES):
        chosen = stream.next()
        model(**rows.take(chosen).pad(), labels=torch.from_numpy(labels[chosen])).loss.backward()
    heads: dict[torch.nn.Module, int] = {}
    roots = set()
    for layer in model.bert.encoder.layer:
        attention = layer.attention.self
        projections = (attention.query, attention.key, attention.value)
        heads |= dict.fromkeys(projections, attention.num_attention_heads)
        roots |= {*projections, layer.intermediate.dense}
    kept = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module not in roots]
    pruner = torch_pruning.pruner.BasePruner(
        model,
        rows.take(np.arange(2)).pad(),
        importance=torch_pruning.importance.GroupTaylorImportance(),
        pruning_ratio=share,
        ignored_layers=[*kept, model.bert.embeddings],
        num_heads=heads,
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=share,
        output_transform=lambda output: output.logits,
    )
    pruner.step()
    model.zero_grad(set_to_none=True)


class _Logits(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *types: torch.Tensor) -> Any:
        segments = {"token_type_ids": types[0]} if types else {}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **segments).logits


def export_int8(model: Any, path: Path) -> None:
    """Export with `torch.onnx` and quantize with onnxruntime's `quantize_dynamic`, per channel.

    Args:
        model: a stock classifier in evaluation mode.
        path: of the int8 file.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = ["input_ids", "attention_mask"]
    names += ["token_type_ids"] if getattr(model.config, "type_vocab_size", 0) else []
    ids = torch.ones((2, 16), dtype=torch.int64)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    # All inputs but the first two arrive as one tuple.
    shapes: tuple[Any, ...] = (axes, axes, (axes,) * (len(names) - 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain = Path(folder) / "model.onnx"
        wrapped = _Logits(model).eval()
        # Two inputs that were one tensor would become one input of the graph.
        inputs = (ids, torch.ones_like(ids), *(torch.zeros_like(ids) for _ in names[2:]))
        program = torch.onnx.export(
            wrapped,
            inputs,
            dynamo=True,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=shapes,
            verbose=False,
        )
        if program is None:
            raise InputError("torch.onnx.export returned nothing.")
        program.save(plain)
        _check_parity(wrapped, plain, names)
        quantize_dynamic(plain, path, weight_type=QuantType.QInt8, per_channel=True)


def _check_parity(model: torch.nn.Module, path: Path, names: Sequence[str]) -> None:
    """Refuse a graph that differs from its model: an exporter's mistake must not count against a competitor."""
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 50, (3, 11), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    inputs = (ids, mask, *(torch.zeros_like(ids) for _ in names[2:]))
    with torch.inference_mode():
        expected = model(*inputs).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY_LIMIT:
        raise BenchmarkError(f"The exported graph is {difference:.2g} off its model; the limit is {PARITY_LIMIT:g}.")


def torch_int8(model: Any) -> tuple[Any, int]:
    """Return PyTorch's dynamic int8 form of a classifier, and the bytes of its saved weights."""
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        quantize: Any = torch.ao.quantization.quantize_dynamic
        small = quantize(model, {torch.nn.Linear}, dtype=torch.qint8)
        path = Path(folder) / "weights.pt"
        torch.save(small.state_dict(), path)
        return small, path.stat().st_size


@torch.inference_mode()
def torch_probabilities(model: Any, rows: TokenRows, batch_size: int = 32) -> NDArray[np.float32]:
    """Return class probabilities (n, classes), in the order of the rows."""
    parts = []
    order = np.argsort(rows.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        logits = model(**rows.take(order[start : start + batch_size]).pad()).logits
        parts.append(torch.softmax(logits.float(), dim=-1).numpy())
    restored = np.empty_like(np.concatenate(parts))
    restored[order] = np.concatenate(parts)
    return restored


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' advice to their authors out of the benchmark's output."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
