"""A whole controlled run on the packaged encoder and real text: the loop, the folder, the artefact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from benchmarks.faults.runs import small_run
from sec_rl.agents.measure import measure
from sec_rl.agents.run import run
from sec_rl.backends import bert, encoder_session
from sec_rl.backends.bert import BertSession
from sec_rl.classifier import Classifier
from sec_rl.cli import main
from sec_rl.compression.loading import load_dense
from sec_rl.config import RunConfig, TransferConfig
from sec_rl.errors import InputError, MissingDependencyError, RunFolderError
from sec_rl.report.cost import PARTS
from sec_rl.run_folder import open_run_folder, read_result
from sec_rl.tasks import Task, load_task
from sec_rl.training.fitted_head import fit_head
from sec_rl.training.teacher import Teacher
from sec_rl.training.trainer import train_step
from sec_rl.values import Levers, Preference, Ratios

CONFIG = RunConfig(
    task="sms-spam",
    schedule="cubic",
    compression_ratio=0.5,
    data_ratio=0.2,
    passes=768,
    n_segments=8,
    batch_size=16,
    max_length=32,
    seed=1,
    latency_rounds=1,
    pruning={"cost": "flops"},  # type: ignore[arg-type]
)


def cut(name: str) -> Task:
    """Return the first rows of a packaged task."""
    whole = load_task(name)
    return Task(
        whole.name,
        whole.label_names,
        whole.train.take(np.arange(400)),
        whole.validation.take(np.arange(120)),
        whole.test.take(np.arange(120)),
    )


@pytest.fixture(scope="module")
def task() -> Task:
    """Return a small cut of a packaged task, as quick to score as to train on."""
    return cut("sms-spam")


def opened(task: Task, **changes: Any) -> BertSession:
    """Return an open session."""
    session = BertSession(CONFIG.model_copy(update=changes), task)
    session.open()
    return session


def test_ratio_rises_and_falls_with_real_structures(task: Task) -> None:
    session = opened(task)
    dense = sum(p.numel() for p in session.model.parameters())
    levers = Levers(augmentation_share=0.3, pseudo_label_share=0.25)
    session.advance(Ratios(0.2, 0.0), levers)
    assert session.teacher is None
    small = session.advance(Ratios(0.2, 0.6), levers)
    n_small = sum(p.numel() for p in session.model.parameters())
    assert 0.6 <= small.compression_ratio <= 0.65
    assert n_small < dense - 4_000_000
    back = session.advance(Ratios(0.2, 0.2), levers)
    assert 0.2 <= back.compression_ratio < 0.25
    assert sum(p.numel() for p in session.model.parameters()) > n_small
    assert back.size_ratio > small.size_ratio


def test_the_best_dense_model_of_a_run_teaches(task: Task) -> None:
    """A run that looks at compression too early, goes back and learns more is taught by what it learned then."""
    session = opened(task)
    session.advance(Ratios(0.2, 0.0), Levers())
    accuracies = []
    for accuracy, compression in ((0.6, 0.3), (0.7, 0.0), (0.8, 0.3), (0.7, 0.0), (0.7, 0.3)):
        session._scores = replace(session._scores, accuracy=accuracy)
        before = session.teacher
        session.advance(Ratios(0.2, compression), Levers())
        accuracies.append(session.teacher_accuracy)
        assert (session.teacher is before) == (accuracy == 0.7)
    assert accuracies == [0.6, 0.6, 0.8, 0.8, 0.8]


def test_a_teacher_of_the_first_segment_is_scored_with_its_fitted_head(task: Task) -> None:
    session = opened(task)
    untrained = session._scores.accuracy
    session._scores = replace(session._scores, accuracy=0.0)
    session.advance(Ratios(0.2, 0.3), Levers())
    assert session.teacher_accuracy is not None
    assert session.teacher_accuracy > max(untrained, 0.7)


def test_edited_copies_without_their_wheel_are_refused_before_training(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingDependencyError("no wheel")

    monkeypatch.setattr(bert, "synonyms", missing)
    opened(task)
    for levers in (Levers(augmentation_share=0.1), Levers(pseudo_label_share=0.1)):
        with pytest.raises(MissingDependencyError):
            opened(task, levers=levers)


def test_what_was_noted_while_training_is_noted_after_a_resume(task: Task) -> None:
    session, again = opened(task), opened(task)
    session.notes.append("something happened")
    again.resume(session.state())
    assert again.notes == session.notes


def test_who_has_overtaken_the_teacher_learns_from_labels_alone(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(task)
    taught: list[bool] = []

    def step(*arguments: Any, teacher: Teacher | None, **named: Any) -> float:
        taught.append(teacher is not None)
        return train_step(*arguments, teacher=teacher, **named)

    monkeypatch.setattr(bert, "train_step", step)
    for accuracy, compression in ((0.6, 0.0), (0.8, 0.3), (0.7, 0.3), (0.81, 0.3), (0.79, 0.3)):
        session._scores = replace(session._scores, accuracy=accuracy)
        taught.clear()
        session.advance(Ratios(0.2, compression), Levers())
        assert set(taught) == {compression > 0.0 and accuracy <= 0.8}


def test_labels_are_bought_once_and_counted(task: Task) -> None:
    session = opened(task)
    first = session.advance(Ratios(0.1, 0.0), Levers())
    assert first.labels_bought == 40
    less = session.advance(Ratios(0.05, 0.0), Levers())
    assert less.labels_bought == 40
    assert less.data_ratio == pytest.approx(0.05)
    more = session.advance(Ratios(0.3, 0.0), Levers())
    assert more.labels_bought == 120
    assert session.pool.n_bought == 120


def test_same_seed_same_run(task: Task) -> None:
    losses = []
    for _ in range(2):
        session = opened(task)
        losses.append([session.advance(Ratios(0.2, c), Levers()).validation_loss for c in (0.0, 0.3)])
    assert losses[0] == losses[1]


def test_taking_the_first_segment_back_keeps_the_fitted_head(task: Task) -> None:
    session = opened(task)
    drawn = session.model.classifier.weight.detach().clone()
    session.advance(Ratios(0.5, 0.0), Levers())
    session.rollback()
    # Not the head that was drawn, and one that tells spam before anything was trained.
    assert (session.model.classifier.weight - drawn).abs().max() > 0.01
    assert session.score(task.validation).accuracy > 0.9


@pytest.mark.parametrize("head", ["read", "drawn"])
def test_a_head_that_was_read_or_is_to_be_drawn_is_not_fitted(
    task: Task, head: Literal["read", "drawn"], monkeypatch: pytest.MonkeyPatch
) -> None:

    def loaded(*arguments: Any) -> Any:
        model, tokenizer = load_dense(*arguments)
        model.has_drawn_head = head == "drawn"
        return model, tokenizer

    monkeypatch.setattr(bert, "load_dense", loaded)
    session = opened(task, transfer=TransferConfig(head="drawn" if head == "drawn" else "fitted"))
    first = session.model.classifier.weight.detach().clone()
    session.advance(Ratios(0.5, 0.0), Levers())
    session.rollback()
    assert torch.equal(session.model.classifier.weight, first)


def test_a_class_is_met_once_with_the_first_label_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    task = cut("questions")
    # Abbreviations come last, and entities nearly so.
    order = np.argsort((task.train.labels == 0) + 0.5 * (task.train.labels == 2), kind="stable")
    kinds = task.train.labels[order]
    session = opened(task)

    def in_turn(_: Any, pool: Any, __: Any, data_ratio: float, **___: Any) -> Any:
        rows = np.sort(order[: round(data_ratio * len(pool))])
        pool.buy(rows)
        return rows

    met: list[Any] = []

    def fit(*arguments: Any, classes: Any, **named: Any) -> bool:
        met.append(classes)
        return fit_head(*arguments, classes=classes, **named)

    monkeypatch.setattr(encoder_session, "rows_in_use", in_turn)
    monkeypatch.setattr(bert, "fit_head", fit)
    early, late = int((kinds == 2).argmax()) / len(kinds), int((kinds == 0).argmax()) / len(kinds)
    for ratio in (early, early, early + 0.05, late + 0.01, 1.0):
        session.advance(Ratios(ratio, 0.5 if met else 0.0), Levers())
    assert met[0] is None
    assert [each.tolist() for each in met[1:]] == [[2], [0]]


@pytest.mark.parametrize(("limit", "expected"), [(1.0, 12), (0.02, 8), (0.001, 4)])
def test_two_rows_of_each_class_to_begin_with_and_no_more_than_may_be_bought(limit: float, expected: int) -> None:
    session = opened(cut("questions"), batch_size=4, data_ratio=limit)
    assert session.advance(Ratios(0.001, 0.0), Levers()).labels_bought == expected


def test_no_segment_after_the_last(task: Task) -> None:
    session = opened(task, n_segments=2, passes=64)
    for _ in range(2):
        session.advance(Ratios(1.0, 0.0), Levers())
    with pytest.raises(InputError, match="2 segments"):
        session.advance(Ratios(1.0, 0.0), Levers())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the folder and the result of a whole run."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    return folder, run(CONFIG, folder)


def test_run_folder_holds_the_contract(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, result = finished
    assert read_result(folder) == json.loads(json.dumps(result))
    assert result["source"] == "measured"
    assert result["size_bytes"] == (folder / "model" / "model.onnx").stat().st_size
    assert result["size_bytes"] < 0.16 * result["dense"]["size_bytes"]
    assert result["dense"]["test_accuracy"] is None
    assert result["label_fraction"] == pytest.approx(0.2, abs=0.01)
    for latency in (result["latency_ms"], result["dense"]["latency_ms"]):
        assert latency["batch1"]["p50"] <= latency["batch1"]["p95"]
        assert latency["batch1"]["p50"] < latency["batch32"]["p50"]
    assert result["latency_ms"]["batch32"]["p50"] < result["dense"]["latency_ms"]["batch32"]["p50"]
    # The report names what each part of the run took.
    assert set(result["seconds"]) == set(PARTS)
    assert result["test_rows"] == len(load_task("sms-spam", seed=CONFIG.seed).test)
    for side, model in (("artefact", result), ("dense", result["dense"])):
        for batch, known in result["latency_quantiles_ms"][side].items():
            assert list(known) == ["p05", "p25", "p50", "p75", "p95"]
            assert list(known.values()) == sorted(known.values())
            assert {name: known[name] for name in ("p50", "p95")} == model["latency_ms"][batch]
    lines = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    assert [line["segment"] for line in lines] == list(range(9))
    assert lines[-1]["compression_ratio"] >= 0.5


def test_it_learned_something(finished: tuple[Path, dict[str, Any]]) -> None:
    """86.6 % of the messages are no spam; a model that learned nothing says that of all."""
    assert finished[1]["test_accuracy"] > 0.93


def test_artefact_predicts_as_it_was_measured(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, result = finished
    test = load_task("sms-spam", seed=1).test
    classifier = Classifier(folder / "model")
    predictions = classifier.predict(list(test.texts))
    names = ("ham", "spam")
    right = [p.label == names[label] for p, label in zip(predictions, test.labels, strict=True)]
    # Batches differ in their padding, and dynamic int8 rounds a batch together.
    assert np.mean(right) == pytest.approx(result["test_accuracy"], abs=0.01)


def test_a_result_is_measured_again_with_the_machine_it_was_measured_on(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    """Fast on one machine only: figures carry their machine, and another one makes its own."""
    folder, result = finished
    path, measured = measure(folder)
    again = json.loads(path.read_text())
    assert again == json.loads(json.dumps(measured))
    assert again["machine"] == result["machine"]
    assert again["size_bytes"] == result["size_bytes"]
    for key in ("threads", "sequence_length", "batch_sizes", "rounds"):
        assert again["latency_settings"][key] == json.loads(json.dumps(result["latency_settings"]))[key]
    assert again["latency_ms"]["batch32"]["p50"] < again["dense"]["latency_ms"]["batch32"]["p50"]
    assert read_result(folder) == json.loads(json.dumps(result))


def test_a_policy_buys_no_more_than_it_may(tmp_path: Path) -> None:
    """Where labels cost nothing the shipped one buys nearly every one that it may, and not at once."""
    asked = {"schedule": "policy", "data_ratio": 0.4, "preference": Preference(label_weight=0.0)}
    config = small_run(tmp_path, seed=0).model_copy(update=asked)
    result = run(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "trajectory.jsonl").read_text().splitlines()]
    bought = [line["metrics"]["label_fraction"] for line in lines]
    assert 0.3 < max(bought) == result["label_fraction"] <= 0.4
    assert bought[1] < 0.25


def test_finished_run_is_not_overwritten(finished: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(RunFolderError, match="--overwrite"), open_run_folder(finished[0], overwrite=False):
        pass


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="no run folder"), open_run_folder(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_second_process_stops(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with (
        open_run_folder(folder, overwrite=False),
        pytest.raises(RunFolderError, match="another process"),
        open_run_folder(folder, overwrite=True),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--task", "movie-reviws"], "Did you mean 'movie-reviews'"),
        (["--task", "sms-spam", "--encoder", "minilm-l7"], "minilm-l6"),
        (["--task", "sms-spam", "--compression-ratio", "1.5"], "0.95"),
        (["--task", "sms-spam", "--schedule", "cubik"], "cubic"),
        (["--tsk", "sms-spam"], "--task"),
    ],
)
def test_bad_input_is_one_line_and_no_folder(
    words: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr("sys.argv", ["sec-rl", "run", *words, "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()
