"""A policy inside a Hugging Face Trainer: structure, weights and optimizer really shrink, rows are really chosen."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

import sec_rl
from sec_rl.agents import latency_scale
from sec_rl.agents.trainer_callback import SynergyCallback, compute_metrics
from sec_rl.classifier import Classifier
from sec_rl.encoders import resolve_encoder
from sec_rl.errors import InputError
from sec_rl.measurement.latency import LatencyStats, LatencyTarget, summarise
from sec_rl.tasks import Split, load_task
from sec_rl.training.optimizer import optimizer_state
from tests.test_slim_encoder import TINY

N_SEGMENTS = 4


class Fixed:
    """Asks for the same change in every segment."""

    def __init__(self, data: float, compression: float) -> None:
        self.action = np.array([data, compression], np.float32)

    def reset(self, seed: int) -> None:
        pass

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.action


class Counting(Sequence[dict[str, Any]]):
    """Training rows that remember how often each is asked for."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.asked = rows, np.zeros(len(rows), np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        self.asked[index] += 1
        return self.rows[index]


def token_rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows whose class is told by their second token."""
    generator = np.random.default_rng(seed)
    found = []
    for label in generator.integers(0, 2, n):
        ids = [2, 5 + int(label), *generator.integers(10, 60, generator.integers(3, 9)).tolist()]
        found.append(
            {
                "input_ids": ids + [0] * (12 - len(ids)),
                "attention_mask": [1] * len(ids) + [0] * (12 - len(ids)),
                "labels": int(label),
            }
        )
    return found


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """Return the arguments of a quiet run on the CPU."""
    settings = {
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "seed": 1,
    }
    return TrainingArguments(output_dir=str(folder), **{**settings, **changes})


def tiny_trainer(folder: Path, callback: SynergyCallback, *, rows: Any = None, **changes: Any) -> Trainer:
    """Return a Trainer of a tiny BERT."""
    torch.manual_seed(0)
    return Trainer(
        model=BertForSequenceClassification(BertConfig(**TINY)),
        args=arguments(folder, **changes),
        train_dataset=token_rows(80) if rows is None else rows,
        eval_dataset=token_rows(40, seed=1),
        compute_metrics=compute_metrics,
        callbacks=[callback],
    )


def test_a_trainers_own_run_ends_small_and_its_export_agrees(tmp_path: Path) -> None:
    """The packaged encoder on real text, with the shipped policy."""
    task = load_task("sms-spam")
    source = resolve_encoder("minilm-l6")
    tokenizer = AutoTokenizer.from_pretrained(source)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=2, id2label=dict(enumerate(task.label_names)), dtype=torch.float32
    )
    dense = sum(p.numel() for p in model.parameters())

    def encoded(split: Split, n: int) -> list[dict[str, Any]]:
        texts = tokenizer(list(split.texts[:n]), truncation=True, max_length=20)
        return [
            {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
            for ids, mask, label in zip(texts["input_ids"], texts["attention_mask"], split.labels, strict=False)
        ]

    callback = sec_rl.SynergyCallback(
        target_size_ratio=0.12, n_segments=N_SEGMENTS, cost="flops", out=tmp_path / "model"
    )
    trainer = Trainer(
        model=model,
        args=arguments(tmp_path / "trainer", learning_rate=3e-4, max_steps=80, per_device_eval_batch_size=32),
        train_dataset=encoded(task.train, 320),
        eval_dataset=encoded(task.validation, 64),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
        callbacks=[callback],
    )
    trained = trainer.train()

    assert math.isfinite(trained.training_loss)
    assert [step.metrics.segment for step in callback.steps] == list(range(N_SEGMENTS + 1))
    last = callback.steps[-1].metrics
    assert last.size_ratio <= 0.12
    assert callback.steps[1].metrics.label_fraction < 1.0
    assert last.validation_accuracy == trainer.state.log_history[-2]["eval_accuracy"]
    # Guessing the frequent class gives 0.48.
    assert last.validation_macro_f1 > 0.55
    assert trainer.model is model
    assert sum(p.numel() for p in model.parameters()) < 0.75 * dense
    moments = optimizer_state(model, trainer.optimizer.optimizer)
    for name, parameter in model.named_parameters():
        assert moments["exp_avg"][name].shape == moments["exp_avg_sq"][name].shape == parameter.shape
        assert moments["step"][name] == 80

    texts = list(task.test.texts[:60])
    model.eval()
    inputs = tokenizer(texts, truncation=True, max_length=20, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = torch.softmax(model(**inputs).logits, -1).numpy()
    found = Classifier(tmp_path / "model").predict(texts)
    exported = np.array([[p.probabilities[name] for name in task.label_names] for p in found])
    assert (exported.argmax(1) == expected.argmax(1)).mean() > 0.97
    assert np.abs(exported - expected).mean() < 0.02
    ask = pipeline("text-classification", model=str(tmp_path / "model"), device="cpu")
    answers = [answer["label"] for answer in ask(texts, truncation=True)]
    assert answers == [task.label_names[i] for i in expected.argmax(1)]
    assert (tmp_path / "model" / "model.onnx").stat().st_size < 0.125 * 4 * dense


def test_the_model_is_taken_over_with_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**TINY)).eval()
    inputs = {name: torch.tensor([row[name] for row in token_rows(6)]) for name in ("input_ids", "attention_mask")}
    before = model(**inputs).logits
    callback = SynergyCallback(Fixed(0.0, 0.0))
    Trainer(model=model, args=arguments(tmp_path), callbacks=[callback])
    torch.testing.assert_close(model(**inputs).logits, before, rtol=1e-4, atol=1e-5)


def test_rows_out_of_use_are_not_drawn(tmp_path: Path) -> None:
    """A fifth of the rows is in use throughout; each of them is trained on about equally often."""
    rows = Counting(token_rows(80))
    callback = SynergyCallback(Fixed(0.0, 0.0), n_segments=4, cost="flops")
    tiny_trainer(tmp_path, callback, rows=rows, num_train_epochs=2).train()
    # Reading them once at the beginning is no training.
    trained = rows.asked - 1
    assert trained.sum() == 2 * 80
    assert (trained > 0).sum() == 16
    assert trained.max() <= 11
    assert callback.steps[-1].metrics.labels_bought == 16
    assert callback.steps[-1].metrics.passes_fraction == 1.0


def test_accumulated_gradients_count_once(tmp_path: Path) -> None:
    """Two batches of 4 in a step move the weights as one batch of 8 does."""
    weights = []
    for size, accumulated in ((8, 1), (4, 2)):
        callback = SynergyCallback(Fixed(1.0, 0.0), n_segments=2, cost="flops")
        trainer = tiny_trainer(
            tmp_path,
            callback,
            rows=token_rows(1) * 16,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulated,
            max_steps=3,
            max_grad_norm=0.0,
            optim="sgd",
        )
        trainer.train()
        weights.append(trainer.model.classifier.weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-5)


def test_what_was_removed_comes_back_after_a_collapse(tmp_path: Path) -> None:
    """An evaluation that says all is lost: the model the Trainer holds is the one before the segment."""
    shapes, accuracies = [], iter([0.5, 0.95, 0.5, 0.95, 0.95, 0.95])

    def scripted(_: Any) -> dict[str, float]:
        shapes.append(sum(p.numel() for p in trainer.model.parameters()))
        return {"accuracy": next(accuracies)}

    callback = SynergyCallback(Fixed(0.0, 1.0), n_segments=5, cost="flops")
    trainer = tiny_trainer(tmp_path, callback)
    trainer.compute_metrics = scripted
    trainer.train()
    assert [step.rolled_back for step in callback.steps] == [False, False, True, False, False, False]
    kept = [step.metrics.compression_ratio for step in callback.steps]
    # The segment after a rollback removes nothing.
    assert kept[1] == kept[2] == kept[3] < kept[4]
    assert shapes[1] > shapes[2]
    assert callback.steps[2].structure == callback.steps[1].structure
    assert trainer.model.config.shape().counts() == callback.steps[-1].structure
    assert math.isnan(callback.steps[1].metrics.validation_macro_f1)


def test_a_speed_up_counts_what_int8_alone_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In quiet moments int8 is three times faster; four times is reached by removing just the rest.

    For most of the time two virtual cores share a physical one, where int8 is hardly more than twice as fast. When
    training begins fp32 has no quiet moment: nothing seems to be left to remove, until it is timed again.
    """
    asked: list[set[str]] = []

    def clock(targets: list[LatencyTarget], _: object) -> dict[str, dict[int, LatencyStats]]:
        asked.append({target.name for target in targets})
        quiet = {"fp32": 30.0 if len(asked) > 1 else 60.0, "dense": 10.0, "probe": 6.0}
        if targets[0].name == "fp32":
            # What is timed is the user's own dense model, as transformers knows it.
            dense = AutoModelForSequenceClassification.from_pretrained(targets[0].path)
            assert isinstance(dense, BertForSequenceClassification)
        shared = {name: ms * (1.2 if name == "fp32" else 1.7) for name, ms in quiet.items()}
        return {
            target.name: {32: summarise([[phase[target.name]] * 5 for phase in (shared, quiet, shared)])}
            for target in targets
        }

    monkeypatch.setattr(latency_scale, "measure_latencies", clock)
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    callback = SynergyCallback(Fixed(0.0, -1.0), target_speedup=4, n_segments=8, cost="flops")
    tiny_trainer(tmp_path, callback).train()
    assert len(list(aside.iterdir())) == 1
    int8_only = {"dense", "probe"}
    assert asked == [int8_only | {"fp32"}, int8_only, int8_only | {"fp32"}]
    assert callback.steps[4].metrics.compression_ratio == 0.0
    reached = 3.0 / callback.steps[-1].metrics.latency_ratio
    assert 4.0 <= reached < 6.0
    # The dense weights go with the callback.
    del callback
    gc.collect()
    assert not list(aside.iterdir())


def test_a_checkpoint_of_a_run_in_bf16_loads(tmp_path: Path) -> None:
    """Accelerate patches autocast onto the model; what the Trainer saves is the shape of that moment."""
    callback = SynergyCallback(Fixed(1.0, 0.8), n_segments=4, cost="flops")
    trainer = tiny_trainer(tmp_path, callback, bf16=True, save_strategy="epoch", num_train_epochs=1)
    # So few rows leave the accuracy to chance, and a fall of it would be rolled back.
    trainer.compute_metrics = lambda _: {"accuracy": 0.95}
    assert math.isfinite(trainer.train().training_loss)
    (saved,) = tmp_path.glob("checkpoint-*")
    loaded = AutoModelForSequenceClassification.from_pretrained(saved)
    assert loaded.config.shape().counts() == callback.steps[-1].structure
    assert callback.steps[-1].metrics.compression_ratio > 0.3
    for name, weight in trainer.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"},
            "load_best_model_at_end",
        ),
        ({"auto_find_batch_size": True}, "auto_find_batch_size"),
        ({"optim": "adafactor"}, "Adafactor keeps 'exp_avg_sq_row'"),
        ({"max_steps": 3}, "n_segments is 5; the run has 3"),
    ],
)
def test_what_cannot_be_steered_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        tiny_trainer(tmp_path, SynergyCallback(n_segments=5, cost="flops"), **changes).train()


def test_bad_rows_and_missing_accuracy_are_named(tmp_path: Path) -> None:
    rows = token_rows(40)
    rows[7]["labels"] = 2
    with pytest.raises(InputError, match=r"row 7 has the label 2.* below 2"):
        tiny_trainer(tmp_path, SynergyCallback(cost="flops", n_segments=4), rows=rows).train()
    trainer = tiny_trainer(tmp_path, SynergyCallback(cost="flops", n_segments=4))
    trainer.compute_metrics = None
    with pytest.raises(InputError, match=r"no 'eval_accuracy'.*eval_loss.*compute_metrics"):
        trainer.train()
    with pytest.raises(InputError, match="Out of reach"):
        tiny_trainer(tmp_path, SynergyCallback(target_size_ratio=0.01, cost="flops", n_segments=4)).train()
    with pytest.raises(InputError, match="Did you mean 'margin'"):
        SynergyCallback(selection="margn")


def test_a_callback_that_came_too_late_says_so(tmp_path: Path) -> None:
    trainer = Trainer(
        model=BertForSequenceClassification(BertConfig(**TINY)),
        args=arguments(tmp_path),
        train_dataset=token_rows(40),
        eval_dataset=token_rows(20),
    )
    trainer.add_callback(SynergyCallback(cost="flops"))
    with pytest.raises(InputError, match=r"Trainer\(model=\.\.\., callbacks="):
        trainer.train()
