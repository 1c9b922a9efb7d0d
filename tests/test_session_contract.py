"""What every backend must keep: one suite for real training and for the simulator, and inside a Trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sec_rl.agents.calibrate import calibrate
from sec_rl.backends.bert import BertSession
from sec_rl.backends.simulator.lanes import draw_opening
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.backends.simulator.session import SimulatedSession
from sec_rl.backends.trainer import TrainerSession
from sec_rl.compression.cost_table import analytic_table
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.config import RunConfig
from sec_rl.envs.session import Session
from sec_rl.errors import InputError
from sec_rl.measurement.accuracy import Scores, classification_scores
from sec_rl.tasks import Task, load_task
from sec_rl.training.batching import TokenRows
from sec_rl.training.trainer import predict
from sec_rl.values import Levers, Metrics, Ratios
from tests.made_up_traces import made_up_traces, write_traces

N_SEGMENTS = 5
OpenBackend = Callable[[], Session]


class PlayedTrainer(TrainerSession):
    """The session inside somebody else's training; the test plays that somebody."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = SlimEncoderConfig(
            vocab_size=60, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_labels=2
        )
        config.intermediate_size = 64
        model = SlimEncoderForSequenceClassification(config)
        self.held = list(model.children()), torch.optim.AdamW(model.parameters(), lr=1e-3)
        generator = np.random.default_rng(0)
        self.labels = generator.integers(0, 2, 100)
        rows = TokenRows(
            tuple(np.array([2, 5 + label, *generator.integers(10, 60, 5)]) for label in self.labels), None, 0
        )
        table = analytic_table(32, 4, 64)
        super().__init__(
            model,
            self.held[1],
            rows,
            self.labels,
            table,
            n_segments=N_SEGMENTS,
            budget=100,
            batch_size=10,
            selection="margin",
            seed=0,
        )

    def open(self, scores: Scores | None = None) -> Metrics:
        return super().open(scores or self.scores())

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        self.begin(ratios, levers)
        drawn = iter(self.sampler)
        for _ in range(2):
            chosen = np.array([next(drawn) for _ in range(10)])
            inputs = self.rows.take(chosen).pad()
            self.model(**inputs, labels=torch.from_numpy(self.pool.labels_of(chosen))).loss.backward()
            self.saw_gradients()
            self.held[1].step()
            self.held[1].zero_grad()
        return self.finish(self.scores(), self.passes_done + 20, 0.0)

    def scores(self) -> Scores:
        return classification_scores(predict(self.model, self.rows, "fp32")[0], self.labels)


@pytest.fixture(scope="module", params=["simulator", "bert", "trainer"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenBackend:
    """Return what makes the same session again and again."""
    if request.param == "simulator":
        root: Path = tmp_path_factory.mktemp("contract")
        calibrate(write_traces(root / "traces", made_up_traces(4)), root / "sim", quick=True)
        simulator = load_simulator(root / "sim")
        tasks = simulator.tasks.take([1])

        def simulated() -> Session:
            opening = draw_opening(simulator, tasks, np.array([N_SEGMENTS]), np.random.default_rng(0))
            return SimulatedSession(simulator, opening)

        return simulated
    if request.param == "trainer":
        return PlayedTrainer
    whole = load_task("sms-spam")
    rows = np.arange(200)
    task = Task("sms", whole.label_names, whole.train.take(rows), whole.validation.take(rows), whole.test.take(rows))
    config = RunConfig(
        task="sms-spam",
        passes=200,
        n_segments=N_SEGMENTS,
        max_length=24,
        validation_rows=40,
        pruning={"cost": "flops", "vocabulary": "pruned"},  # type: ignore[arg-type]
    )
    return lambda: BertSession(config, task)


def test_segments_count_up_and_end(backend: OpenBackend) -> None:
    session = backend()
    opened = session.open()
    assert (opened.segment, opened.n_segments, opened.data_ratio, opened.labels_bought) == (0, N_SEGMENTS, 0.0, 0)
    assert opened.compression_ratio == pytest.approx(0.0, abs=1e-9)
    assert opened.latency_ratio == pytest.approx(1.0)
    assert 0.0 < opened.size_ratio < 1.0
    for segment in range(1, N_SEGMENTS + 1):
        metrics = session.advance(Ratios(0.4, 0.1), Levers())
        assert metrics.segment == segment
        assert metrics.passes_fraction == pytest.approx(segment / N_SEGMENTS, abs=0.05)
        assert 0.0 <= metrics.validation_accuracy <= 1.0
        assert math.isfinite(metrics.validation_loss)
        assert metrics.source == opened.source
    with pytest.raises(InputError, match=f"{N_SEGMENTS} segments"):
        session.advance(Ratios(0.4, 0.1), Levers())


def test_ratios_are_reached_labels_stay_bought_and_forecasts_hold(backend: OpenBackend) -> None:
    session = backend()
    session.open()
    bought = 0
    for data, compression in ((0.5, 0.0), (0.2, 0.3), (0.7, 0.6), (0.3, 0.2)):
        foreseen = session.forecast(compression)
        metrics = session.advance(Ratios(data, compression), Levers())
        assert metrics.data_ratio == pytest.approx(data, abs=0.02)
        assert compression - 1e-9 <= metrics.compression_ratio <= compression + 0.05
        assert metrics.size_ratio == pytest.approx(foreseen.size_ratio, abs=1e-6)
        assert metrics.latency_ratio == pytest.approx(foreseen.latency_ratio, abs=1e-6)
        assert metrics.labels_bought >= bought
        assert metrics.label_fraction >= metrics.data_ratio - 1e-9
        bought = metrics.labels_bought
    assert session.forecast(0.8).latency_ratio < session.forecast(0.4).latency_ratio < 1.0


def test_rollback_returns_the_model_and_keeps_what_was_spent(backend: OpenBackend) -> None:
    session = backend()
    session.open()
    with pytest.raises(InputError, match="no segment"):
        session.rollback()
    before = session.advance(Ratios(0.3, 0.2), Levers())
    structure = session.structure()
    spoiled = session.advance(Ratios(0.6, 0.7), Levers())
    restored = session.rollback()
    assert session.structure() == structure
    for name in ("validation_accuracy", "validation_loss", "compression_ratio", "data_ratio", "size_ratio"):
        assert getattr(restored, name) == getattr(before, name)
    for name in ("segment", "labels_bought", "label_fraction", "example_passes"):
        assert getattr(restored, name) == getattr(spoiled, name)
    with pytest.raises(InputError, match="no segment"):
        session.rollback()
    assert session.advance(Ratios(0.6, 0.3), Levers()).segment == 3


def test_sessions_repeat(backend: OpenBackend) -> None:
    def losses() -> list[float]:
        session = backend()
        session.open()
        return [session.advance(Ratios(0.5, c), Levers()).validation_loss for c in (0.0, 0.4, 0.1)]

    assert losses() == losses()
