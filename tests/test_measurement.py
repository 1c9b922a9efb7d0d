"""Accuracy, predictions of files, sizes, machine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.metrics import log_loss

from sec_rl.errors import InputError
from sec_rl.measurement import machine
from sec_rl.measurement.accuracy import classification_scores
from sec_rl.measurement.onnx_session import open_session, uses_external_data
from sec_rl.measurement.prediction import Encodings, padded_feed, predict_onnx, softmax

VOCABULARY, CLASSES = 40, 3


def table() -> NDArray[np.float32]:
    return np.random.default_rng(3).standard_normal((VOCABULARY, CLASSES)).astype(np.float32)


def tiny_model(*, node_name: str = "") -> onnx.ModelProto:
    """Logits are the sum of a row per token that the mask keeps."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"], name=node_name),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    weights = [
        numpy_helper.from_array(table(), "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(tiny_model(), path)
    return path


@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(
            st.tuples(st.lists(st.floats(0.01, 1.0), min_size=k, max_size=k), st.integers(0, k - 1)),
            min_size=1,
            max_size=30,
        )
    )
)
def test_scores_agree_with_scikit_learn(rows: list[tuple[list[float], int]]) -> None:
    weights = np.array([row for row, _ in rows])
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    labels = np.array([label for _, label in rows])
    scores = classification_scores(probabilities, labels)
    assert scores.loss == pytest.approx(log_loss(labels, probabilities, labels=range(probabilities.shape[1])))
    assert scores.accuracy == (probabilities.argmax(axis=1) == labels).mean()
    assert 0.0 <= scores.macro_f1 <= 1.0


def test_scores_of_certain_mistakes_are_finite_and_majority_guessing_has_a_poor_f1() -> None:
    probabilities = np.tile(np.array([1.0, 0.0], np.float32), (10, 1))
    labels = np.array([0] * 9 + [1])
    scores = classification_scores(probabilities, labels)
    assert scores.accuracy == pytest.approx(0.9)
    assert scores.macro_f1 == pytest.approx((2 * 0.9 / 1.9) / 2)
    assert scores.loss == pytest.approx(-np.log(1e-7) / 10)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 2)), np.array([0]), r"\(2, 2\) do not fit 1 labels"),
        (np.ones((0, 2)), np.array([], np.int64), "do not fit 0 labels"),
        (np.ones((1, 2)), np.array([2]), r"span \[2, 2\]; the model has 2 classes"),
        (np.array([[0.5, 0.5], [np.nan, 0.5]]), np.array([0, 1]), "row 1 is not finite"),
    ],
)
def test_scores_refuse(probabilities: NDArray[np.float64], labels: NDArray[np.int64], message: str) -> None:
    with pytest.raises(InputError, match=message):
        classification_scores(probabilities, labels)


@given(st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12), min_size=1, max_size=20))
def test_padding_keeps_every_token_and_masks_the_rest(rows: list[list[int]]) -> None:
    feed = padded_feed(Encodings(rows, None, pad_id=7), range(len(rows)))
    assert [
        ids[mask == 1].tolist() for ids, mask in zip(feed["input_ids"], feed["attention_mask"], strict=True)
    ] == rows
    assert (feed["input_ids"][feed["attention_mask"] == 0] == 7).all()
    assert not feed["token_type_ids"].any()


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predictions_come_back_in_the_order_of_the_texts(model_file: Path, batch_size: int) -> None:
    generator = np.random.default_rng(0)
    rows = [generator.integers(0, VOCABULARY, generator.integers(1, 20)) for _ in range(33)]
    expected = softmax(np.stack([table()[row].sum(axis=0) for row in rows]))
    got = predict_onnx(model_file, Encodings(rows, None, 5), threads=1, batch_size=batch_size)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, atol=1e-6)


def test_predictions_refuse_what_cannot_be_run(model_file: Path) -> None:
    with pytest.raises(InputError, match="no texts"):
        predict_onnx(model_file, Encodings([], None, 0), threads=1)
    with pytest.raises(InputError, match="Row 1 has no tokens"):
        Encodings([[1], []], None, 0)
    with pytest.raises(InputError, match="differ in length"):
        Encodings([[1, 2]], [[0]], 0)
    with pytest.raises(InputError, match="batch size is 0"):
        predict_onnx(model_file, Encodings([[1]], None, 0), threads=1, batch_size=0)


def test_softmax_of_large_logits_is_finite() -> None:
    assert softmax(np.array([[1e4, -1e4]], np.float32)).tolist() == [[1.0, 0.0]]


def test_files_with_weights_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(tiny_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert uses_external_data(path)
    with pytest.raises(InputError, match="keeps weights in other files"):
        open_session(path)


def test_weights_elsewhere_are_found_inside_attributes(tmp_path: Path) -> None:
    tensor = TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../secret")
    model = tiny_model()
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert uses_external_data(path)


def test_the_word_location_alone_is_no_reason_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(tiny_model(node_name="location"), path)
    assert not uses_external_data(path)
    assert open_session(path, threads=1).get_outputs()[0].name == "logits"


@pytest.mark.parametrize("content", [b"", b"no model", b"location of no model"])
def test_what_is_no_model_gives_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_session(path)
    assert "\n" not in str(caught.value)
    assert "model.onnx" in str(caught.value)


def test_machine_is_described_in_json() -> None:
    described = machine.describe_machine(3)
    assert json.loads(json.dumps(described)) == described
    assert described["threads"] == 3
    assert described["cores"] == machine.usable_cores() >= 1
    assert described["versions"]["numpy"] == np.__version__
    assert {"torch", "transformers", "onnxruntime", "sec_rl"} <= set(described["versions"])


@pytest.mark.parametrize(
    ("cpuinfo", "bf16"),
    [
        ("model name : A\nflags : avx2 avx512f avx512_bf16\nmodel name : B\n", True),
        ("model name : A\nflags : avx2 avx512f avx512_vnni\n", False),
        ("processor : 0\nFeatures : asimd i8mm bf16\n", True),
    ],
)
def test_bf16_needs_the_instructions(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, *, bf16: bool) -> None:
    name, flags = machine.parse_cpuinfo(cpuinfo)
    monkeypatch.setattr(machine, "_cpu", lambda: (name, flags))
    assert machine.supports_bf16() is bf16


@pytest.mark.parametrize(("text", "cores"), [("max 100000\n", None), ("150000 100000", 2), ("5000 100000", 1)])
def test_a_container_s_quota_limits_the_cores(text: str, cores: int | None) -> None:
    assert machine.quota_cores(text) == cores
