"""A tracker gets the numbers of a run, in the run's folder, and sends nothing unasked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sec_rl.cli import main
from sec_rl.errors import InputError, MissingDependencyError
from sec_rl.trackers import TRACKERS, Tracking
from sec_rl.trackers.opening import open_tracker
from sec_rl.values import Metrics
from tests.made_up_runs import made_up_result


def metrics(segment: int, accuracy: float) -> Metrics:
    return Metrics(
        source="measured",
        segment=segment,
        n_segments=4,
        n_classes=2,
        data_ratio=0.5,
        compression_ratio=0.25,
        validation_accuracy=accuracy,
        validation_macro_f1=accuracy,
        validation_loss=float("nan"),
        labels_bought=10,
        label_fraction=0.5,
        example_passes=100 * segment,
        passes_fraction=segment / 4,
        size_ratio=0.2,
        latency_ratio=0.8,
        seconds=1.0,
    )


def track_a_run(tracking: Tracking) -> None:
    for segment, accuracy in enumerate([0.5, 0.7, 0.8]):
        tracking.segment(metrics(segment, accuracy), {})
    tracking.result(made_up_result())


def test_tensorboard_holds_curves_and_result(tmp_path: Path) -> None:
    track_a_run(Tracking("tensorboard", tmp_path))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    curve = [(e.step, round(e.value, 4)) for e in events.Scalars("run/validation_accuracy")]
    assert curve == [(0, 0.5), (1, 0.7), (2, 0.8)]
    (last,) = events.Scalars("result/test_accuracy")
    assert last.value == pytest.approx(made_up_result()["test_accuracy"])
    # What is no number is no point.
    assert "run/validation_loss" not in events.Tags()["scalars"]


def test_nothing_is_opened_before_there_are_numbers(tmp_path: Path) -> None:
    Tracking("tensorboard", tmp_path / "run")
    assert not (tmp_path / "run").exists()


class _FakeWandb(ModuleType):
    """Takes note of what it is told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.told: list[Any] = []
        self.__spec__ = SimpleNamespace(name="wandb")  # type: ignore[assignment]

    def init(self, **settings: Any) -> Any:
        self.told.append(settings)
        log: Callable[..., None] = lambda values, step: self.told.append((step, values))  # noqa: E731
        summary: Mapping[str, float] = {}
        return SimpleNamespace(log=log, summary=summary, finish=lambda: self.told.append("finished"))


@pytest.mark.parametrize(("wish", "mode"), [(None, "offline"), ("online", "online")])
def test_wandb_is_offline_unless_asked(
    wish: str | None, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if wish is not None:
        monkeypatch.setenv("WANDB_MODE", wish)
    track_a_run(Tracking("wandb", tmp_path / "run"))
    assert fake.told[0] == {"project": "sec-rl", "name": "run", "dir": str(tmp_path / "run"), "mode": mode}
    assert [step for step, _ in fake.told[1:4]] == [0, 1, 2]
    assert fake.told[-1] == "finished"


def test_mlflow_writes_files_below_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track_a_run(Tracking("mlflow", tmp_path / "run"))
    (file,) = (tmp_path / "run" / "mlflow").rglob("test_accuracy")
    assert float(file.read_text().split()[1]) == pytest.approx(made_up_result()["test_accuracy"])


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_before_anything_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sec_rl.trackers.opening.find_spec", lambda _: None)
    words = ["run", "--task", "movie-reviews", "--out", str(tmp_path / "run"), "--tracker", name]
    monkeypatch.setattr(sys, "argv", ["sec-rl", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err.strip()
    assert f"pip install 'sec-rl[{name}]'" in said
    assert "\n" not in said
    assert not (tmp_path / "run").exists()
    with pytest.raises(MissingDependencyError):
        open_tracker(name, tmp_path)


def test_a_misspelt_tracker_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'tensorboard'"):
        Tracking("tensorbord", tmp_path)
    assert set(TRACKERS) == {"tensorboard", "wandb", "mlflow"}
