"""The slim encoder against the stock models it was read from, and its round trips."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from sec_rl.compression.adapters import ADAPTERS, adapter_for
from sec_rl.compression.artefact import save_weights
from sec_rl.compression.export import build_onnx
from sec_rl.compression.loading import load_dense
from sec_rl.compression.shape import EncoderShape, LayerShape
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.compression.vault import Vault, build_model
from sec_rl.errors import InputError
from sec_rl.measurement.latency import LatencySettings, LatencyTarget, measure_latencies

TINY = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
CONFIGS: dict[str, PreTrainedConfig] = {"bert": BertConfig(**TINY), "mpnet": MPNetConfig(**TINY)}
PRUNED = EncoderShape(
    (
        LayerShape((1, 3), tuple(range(5, 37))),
        LayerShape((), ()),
        LayerShape((0, 1, 2), tuple(range(0, 64, 2))),
    ),
    4,
    64,
)


def tiny(model_type: str) -> SlimEncoderForSequenceClassification:
    """Return a dense slim encoder with weights large enough for differences to show."""
    torch.manual_seed(0)
    model = SlimEncoderForSequenceClassification(adapter_for(model_type).read_config(CONFIGS[model_type]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.eval()
    return model


def pruned(model_type: str, shape: EncoderShape = PRUNED) -> SlimEncoderForSequenceClassification:
    """Return a slice of the tiny model."""
    model = tiny(model_type)
    sliced = build_model(Vault(model.config, dict(model.state_dict())), shape)
    sliced.eval()
    return sliced


def batch() -> dict[str, torch.Tensor]:
    """Return two texts of different length."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 60, (2, 9), generator=generator)
    mask = torch.ones_like(ids)
    # MPNet numbers positions by padding id, so padding must carry it.
    ids[1, 6:], mask[1, 6:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("model_type", ADAPTERS)
def test_agrees_with_the_stock_model(model_type: str) -> None:
    model, adapter = tiny(model_type), adapter_for(model_type)
    stock = AutoModelForSequenceClassification.from_config(adapter.write_config(model.config)).eval()
    stock.load_state_dict(adapter.write_weights(model.state_dict()), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(model(**batch()).logits, stock(**batch()).logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", ADAPTERS)
def test_reading_undoes_writing(model_type: str) -> None:
    model, adapter = tiny(model_type), adapter_for(model_type)
    back = adapter.read_weights(adapter.write_weights(model.state_dict()))
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'mpnet'"):
        adapter_for("mpnett")


@pytest.mark.parametrize("model_type", ADAPTERS)
def test_slicing_equals_masking(model_type: str) -> None:
    """A removed head or neuron must count exactly as if its output weights were zero."""
    dense = tiny(model_type)
    sliced = pruned(model_type)
    state = {name: value.clone() for name, value in dense.state_dict().items()}
    for index, layer in enumerate(PRUNED.layers):
        heads, neurons = torch.zeros(4), torch.zeros(64)
        heads[list(layer.heads)], neurons[list(layer.neurons)] = 1.0, 1.0
        state[f"encoder.layers.{index}.attention.output.weight"] *= heads.repeat_interleave(8)
        state[f"encoder.layers.{index}.ffn_out.weight"] *= neurons
    dense.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(sliced(**batch()).logits, dense(**batch()).logits, atol=1e-5, rtol=1e-4)


def test_last_layer_may_compute_every_position() -> None:
    model = tiny("bert")
    inputs = batch()
    with torch.inference_mode():
        first, _ = model.encoder(inputs["input_ids"], inputs["attention_mask"], None)
        every, _ = model.encoder(inputs["input_ids"], inputs["attention_mask"], None, all_positions=True)
    assert first.shape[1] == 1
    assert every.shape[1] == 9
    torch.testing.assert_close(first[:, 0], every[:, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", ADAPTERS)
@pytest.mark.parametrize("is_pruned", [False, True])
def test_onnx_agrees_with_pytorch(model_type: str, is_pruned: bool) -> None:
    model = pruned(model_type) if is_pruned else tiny(model_type)
    feed = {name: value.numpy() for name, value in batch().items()}
    if model.config.type_vocab_size:
        feed["token_type_ids"] = np.zeros_like(feed["input_ids"])
    with torch.inference_mode():
        expected = model(**batch()).logits.numpy()
    logits = {}
    for quantized in (False, True):
        content = build_onnx(model, quantized=quantized).SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        logits[quantized] = session.run(["logits"], feed)[0]
    np.testing.assert_allclose(logits[False], expected, atol=1e-4)
    np.testing.assert_allclose(logits[True], expected, atol=0.25)
    assert np.abs(logits[True] - expected).max() > 1e-5, "int8 must really round"


def test_pruned_artefact_is_smaller_on_disk() -> None:
    sizes = {
        (name, quantized): len(build_onnx(model, quantized=quantized).SerializeToString())
        for name, model in (("dense", tiny("bert")), ("pruned", pruned("bert")))
        for quantized in (False, True)
    }
    assert sizes["pruned", False] < 0.75 * sizes["dense", False]
    assert sizes["pruned", True] < sizes["pruned", False]


@pytest.mark.clock
def test_pruned_artefact_is_faster(tmp_path: Path) -> None:
    """By the clock, against the dense model in the same int8 format: a quarter of the work in half the time."""
    torch.manual_seed(0)
    dense = SlimEncoderForSequenceClassification(SlimEncoderConfig(vocab_size=100, num_hidden_layers=2))
    layer = LayerShape(tuple(range(3)), tuple(range(384)))
    quarter = build_model(Vault(dense.config, dict(dense.state_dict())), EncoderShape((layer,) * 2, 12, 1536))
    targets = []
    for name, model in (("dense", dense), ("quarter", quarter)):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(build_onnx(model, quantized=True).SerializeToString())
        targets.append(LatencyTarget(name, "onnx", str(path), vocabulary=100))
    settings = LatencySettings(batch_sizes=(32,), threads=1, rounds=5, max_rounds=5, block_seconds=0.1)
    measured = measure_latencies(targets, settings)
    assert measured["dense"][32].p50_ms > 2.0 * measured["quarter"][32].p50_ms


_LOAD = """
import json, sys, torch
{first}
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
data = json.load(open(sys.argv[2]))
with torch.inference_mode():
    logits = model(**{{k: torch.tensor(v) for k, v in data.items()}}).logits
print(type(model).__name__, json.dumps(logits.tolist()))
"""


@pytest.mark.parametrize(
    ("model_type", "shape", "first", "expected_class"),
    [
        ("bert", PRUNED, "import sec_rl", "SlimEncoderForSequenceClassification"),
        ("mpnet", PRUNED, "import sec_rl", "SlimEncoderForSequenceClassification"),
        (
            "bert",
            EncoderShape(
                (
                    LayerShape(tuple(range(4)), tuple(range(32))),
                    LayerShape((), (), present=False),
                    LayerShape(tuple(range(4)), tuple(range(32, 64))),
                ),
                4,
                64,
            ),
            "",
            "BertForSequenceClassification",
        ),
    ],
)
def test_saved_model_loads_in_a_fresh_process(
    tmp_path: Path, model_type: str, shape: EncoderShape, first: str, expected_class: str
) -> None:
    model = pruned(model_type, shape)
    save_weights(model, tmp_path / "model")
    (tmp_path / "batch.json").write_text(json.dumps({k: v.tolist() for k, v in batch().items()}))
    done = subprocess.run(
        [sys.executable, "-c", _LOAD.format(first=first), tmp_path / "model", tmp_path / "batch.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    name, values = done.stdout.strip().splitlines()[-1].split(" ", 1)
    assert name == expected_class
    with torch.inference_mode():
        np.testing.assert_allclose(json.loads(values), model(**batch()).logits.numpy(), atol=1e-5)


@pytest.mark.parametrize("model_type", ADAPTERS)
def test_head_stays_where_the_classes_are_the_same(tmp_path: Path, model_type: str) -> None:
    folder = tmp_path / "model"
    model = tiny(model_type)
    model.config.id2label = {0: "no", 1: "yes"}
    model.config.label2id = {"no": 0, "yes": 1}
    save_weights(model, folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    same, _ = load_dense(str(folder), ("no", "yes"), seed=1)
    assert all(torch.equal(weight, same.state_dict()[name]) for name, weight in model.state_dict().items())
    assert not same.has_drawn_head
    other, _ = load_dense(str(folder), ("yes", "no"), seed=1)
    assert other.has_drawn_head
    assert not torch.equal(other.classifier.weight, model.classifier.weight)
    assert torch.equal(other.encoder.embeddings.word.weight, model.encoder.embeddings.word.weight)


def test_pruned_model_is_no_start_of_a_run(tmp_path: Path) -> None:
    save_weights(pruned("bert"), tmp_path / "model")
    with pytest.raises(InputError, match="is a pruned model; a run starts from a dense one"):
        load_dense(str(tmp_path / "model"), ("no", "yes"), 0)
