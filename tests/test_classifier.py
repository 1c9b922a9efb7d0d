"""Classifying with an exported folder."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from sec_rl.classifier import Classifier
from sec_rl.cli import main
from sec_rl.errors import InputError

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s", "fine"]
WEIGHTS = {"good": 2.0, "fine": 1.0, "bad": -2.0}


def write_tokenizer(path: Path) -> None:
    vocabulary = {piece: index for index, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # Left over from training, as in many published files.
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(path))


def model(types: bool = True) -> onnx.ModelProto:
    """Positive logit: weights of the pieces, words of the second text counted threefold."""
    table = np.zeros((len(PIECES), 2), np.float32)
    for word, weight in WEIGHTS.items():
        table[PIECES.index(word), 1] = weight
    factors = "factor" if types else "one"
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        *([helper.make_node("Gather", ["factors", "token_type_ids"], ["factor"])] if types else []),
        helper.make_node("Mul", ["mask", factors], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    weights = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1.0, 3.0], np.float32), "factors"),
        numpy_helper.from_array(np.array([1.0], np.float32), "one"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if types else [])
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "tokenizer.json")
    onnx.save(model(), tmp_path / "model.onnx")
    write_json(tmp_path / "config.json", {"id2label": {"0": "neg", "1": "pos"}, "max_position_embeddings": 32})
    write_json(tmp_path / "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 16})
    return tmp_path


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_labels_and_probabilities(folder: Path) -> None:
    classifier = Classifier(folder)
    assert classifier.label_names == ("neg", "pos")
    texts = ["bad film", "good film good films fine", "film", "Good"]
    predictions = classifier.predict(texts)
    assert [p.probabilities["pos"] for p in predictions] == pytest.approx([sigmoid(x) for x in (-2, 5, 0, 2)])
    assert [p.label for p in predictions] == ["neg", "pos", "neg", "pos"]
    for prediction in predictions:
        assert list(prediction.probabilities) == ["neg", "pos"]
        assert prediction.probability == max(prediction.probabilities.values())
        assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
    assert classifier.predict([]) == []


def test_batches_do_not_change_order_or_result(folder: Path) -> None:
    classifier = Classifier(folder, threads=1)
    texts = ["good " * n + "film" for n in (5, 1, 3, 0, 4, 2)]
    together = [p.probabilities["pos"] for p in classifier.predict(texts)]
    one_by_one = [p.probabilities["pos"] for p in classifier.predict(texts, batch_size=1)]
    assert together == pytest.approx(one_by_one)
    assert together == pytest.approx([sigmoid(2 * n) for n in (5, 1, 3, 0, 4, 2)])


def test_pairs_carry_their_segments(folder: Path) -> None:
    classifier = Classifier(folder)
    prediction = classifier.predict(["good"], ["bad"])[0]
    assert prediction.probabilities["pos"] == pytest.approx(sigmoid(2 - 3 * 2))
    with pytest.raises(InputError, match="1 texts and 2 second texts"):
        classifier.predict(["good"], ["bad", "bad"])
    with pytest.raises(InputError, match="a list of texts"):
        classifier.predict("good")


def test_a_model_of_pairs_asks_for_both(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", config | {"sec_rl": {"pair": True}})
    classifier = Classifier(folder)
    with pytest.raises(InputError, match="the second text of each"):
        classifier.predict(["good"])
    assert classifier.predict(["good"], ["bad"])[0].label == "neg"
    assert classifier.predict([], []) == []


def test_the_command_takes_pairs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = ["--pair", "bad", "--pair", "fine"]
    monkeypatch.setattr("sys.argv", ["sec-rl", "predict", str(folder), "good", "good", *seconds])
    with contextlib.suppress(SystemExit):
        main()
    labels = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert (
        labels == [p.label for p in Classifier(folder).predict(["good", "good"], ["bad", "fine"])] == ["neg", "pos"]
    )


def test_an_encoder_without_segments(folder: Path) -> None:
    onnx.save(model(types=False), folder / "model.onnx")
    assert Classifier(folder).predict(["good"], ["bad"])[0].probabilities["pos"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("tokenizer_config", "config", "expected"),
    [
        ({"sec_rl": {"max_length": 5}, "model_max_length": 16}, {}, 5),
        ({"model_max_length": 16}, {"sec_rl": {"max_length": 6}}, 6),
        ({"model_max_length": 16}, {}, 16),
        ({"model_max_length": 1e30}, {"max_position_embeddings": 32}, 32),
        ({"sec_rl": {"max_length": 500}}, {"max_position_embeddings": 32}, 32),
        (None, {}, 512),
    ],
)
def test_texts_are_cut_where_the_run_cut_them(
    folder: Path, tokenizer_config: dict[str, Any] | None, config: dict[str, Any], expected: int
) -> None:
    (folder / "tokenizer_config.json").unlink()
    if tokenizer_config is not None:
        write_json(folder / "tokenizer_config.json", tokenizer_config)
    write_json(folder / "config.json", {"id2label": {"0": "neg", "1": "pos"}} | config)
    classifier = Classifier(folder)
    assert classifier.max_length == expected
    # Two places go to [CLS] and [SEP]; the word that tips the balance stands just inside or just outside.
    inside = "film " * (expected - 3) + "good"
    outside = "film " * (expected - 2) + "good"
    assert [p.label for p in classifier.predict([inside, outside])] == ["pos", "neg"]


@pytest.mark.parametrize("missing", ["model.onnx", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InputError, match=f"no exported model: it has no {missing}"):
        Classifier(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "is no JSON"),
        ("config.json", "[]", "holds no JSON object"),
        ("config.json", '{"id2label": {"0": "only"}}', "fewer than two labels"),
        ("config.json", '{"id2label": {"0": "a", "2": "b"}}', "must be 0 to 1"),
        ("config.json", '{"id2label": {"0": "a", "1": "a"}}', "the same label"),
        ("config.json", '{"id2label": {"0": "a", "1": "b", "2": "c"}}', "names 3 labels, model.onnx has 2"),
        ("tokenizer.json", "{}", "is not a tokenizer"),
        ("model.onnx", "nonsense", "cannot be opened as an ONNX model"),
    ],
)
def test_a_broken_file_gives_one_sentence(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Classifier(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("odd", ['{"model_max_length": 1e999}', '{"pad_token": "\\ud800"}'])
def test_odd_values_of_a_tokenizer_count_as_none(folder: Path, odd: str) -> None:
    texts = ["a good film"]
    expected = Classifier(folder).predict(texts)
    (folder / "tokenizer_config.json").write_text(odd)
    assert Classifier(folder).predict(texts) == expected


def test_a_model_of_single_numbers_is_refused(folder: Path) -> None:
    value = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [])
    number = helper.make_tensor_value_info("input_ids", TensorProto.FLOAT, [])
    graph = helper.make_graph([helper.make_node("Identity", ["input_ids"], ["logits"])], "one", [number], [value])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
    with pytest.raises(InputError, match="single numbers"):
        Classifier(folder)


def test_weights_in_other_files_are_refused(folder: Path) -> None:
    onnx.save(model(), folder / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(InputError, match="keeps weights in other files"):
        Classifier(folder)


def _run(arguments: Sequence[str], root: Path) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=root).stdout


def test_neither_torch_nor_transformers_is_needed(folder: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'sklearn', 'scipy', 'onnx', 'datasets'):\n"
        "    sys.modules[name] = None\n"
        "from sec_rl.classifier import Classifier\n"
        f"print(Classifier({str(folder)!r}).predict(['good'])[0].label)\n"
    )
    assert _run(["-c", script], Path(__file__).parent.parent).strip() == "pos"


def test_a_model_that_opens_and_then_fails_is_refused_in_one_line(tmp_path: Path) -> None:
    from benchmarks.faults.tiny_model import write_tiny_model

    write_tiny_model(tmp_path)
    path = tmp_path / "model.onnx"
    sound = path.read_bytes()
    model = onnx.load_from_string(sound)
    # The axis that is summed over: of three there are.
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([0]), "tokens"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"gives \(\d, 2\) values of type float32 for 1 texts"):
        Classifier(tmp_path).predict(["a good film"])
    # A table without rows for most tokens.
    model = onnx.load_from_string(sound)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((1, 2), np.float32), "table"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"fails on 1 texts: .*Gather"):
        Classifier(tmp_path).predict(["a good film"])


@pytest.mark.parametrize(
    ("text", "said"),
    [("caf\udce9", "byte 0xe9"), (None, "is missing"), (3, "is 3, not text"), ("\ud800", "U\\+D800")],
)
def test_what_is_no_text_is_named(folder: Path, text: Any, said: str) -> None:
    classifier = Classifier(folder)
    with pytest.raises(InputError, match=f"The text 2 of 2 .*{said}"):
        classifier.predict(["good", text])
    with pytest.raises(InputError, match=f"The second text 1 of 1 .*{said}"):
        classifier.predict(["good"], [text])


def test_lines_of_another_encoding_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sec-rl", "predict", str(folder), "-"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"good\r\ncaf\xe9\n"), encoding="utf-8"))
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "text 2 of 2 is not valid UTF-8 (byte 0xe9)" in capsys.readouterr().err


def test_lines_of_standard_input_are_texts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sec-rl", "predict", str(folder), "-", "--quiet"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"good\nbad film\n"), encoding="utf-8"))
    with contextlib.suppress(SystemExit):
        main()
    assert capsys.readouterr().out.split() == ["pos", "neg"]
