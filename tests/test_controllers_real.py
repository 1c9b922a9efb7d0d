"""The benchmark of controllers in real training: what a run is worth, and that every training is paid for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import controllers_real
from benchmarks.options import Options, parse_options
from benchmarks.runs import RunSpec
from sec_rl.agents.shipped import shipped_simulator
from sec_rl.agents.tuning import COMPRESSION_RATIOS, DATA_RATIOS
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.values import Metrics, Preference


def made_up_run(folder: Path, *, accuracy: float, bytes_: int, ms: float, labels: float = 1.0) -> None:
    """Write what a finished run leaves; validation shows a point less than the test split."""
    folder.mkdir(parents=True, exist_ok=True)
    latency = {"batch32": {"p50": ms}}
    dense = {"size_bytes": 100_000, "latency_ms": {"batch32": {"p50": 100.0}}}
    result = {
        "source": "measured",
        "test_accuracy": accuracy,
        "validation_accuracy": accuracy - 0.01,
        "size_bytes": bytes_,
        "latency_ms": latency,
        "label_fraction": labels,
        "example_passes": 1000,
        "train_seconds": 10.0,
        "dense": dense,
    }
    (folder / "result.json").write_text(json.dumps(result))
    last = Metrics("measured", 12, 12, 2, 1.0, 0.5, 0.8, 0.8, 0.5, 100, labels, 1000, 1.0, 0.2, 0.5, 10.0)
    (folder / "trajectory.jsonl").write_text(json.dumps({"metrics": last.to_dict()}) + "\n")


def real_options(tmp_path: Path) -> Options:
    (tmp_path / "mrpc").mkdir()
    words = ["--tasks-root", str(tmp_path), "--tasks", "mrpc", "--out", str(tmp_path / "out"), "--seeds", "0"]
    return parse_options("controllers", "", tasks=(), arguments=words)


def real_cells(tmp_path: Path) -> list[controllers_real.Cell]:
    return [
        controllers_real.Cell("mrpc", seed, tmp_path / "policy", (0.6, 0.25), ((1.0, 0.25), (0.3, 0.5)))
        for seed in (0, 1)
    ]


def test_a_real_run_is_worth_what_was_measured(tmp_path: Path) -> None:
    made_up_run(tmp_path / "dense", accuracy=0.9, bytes_=25_000, ms=40.0)
    made_up_run(tmp_path / "small", accuracy=0.88, bytes_=12_500, ms=20.0, labels=0.5)
    found = controllers_real.scored(tmp_path / "small", tmp_path / "dense", Preference())
    # Two points lost, an eighth of the fp32 bytes, half of dense int8's latency, half of the labels.
    assert found["utility"] == pytest.approx(-0.02 + 0.03 + 0.01 + 0.01)
    assert found["measured"] == pytest.approx(found["utility"])
    assert found["latency_ratio"] == pytest.approx(0.5)


def test_real_methods_pay_for_every_training_and_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    options = real_options(tmp_path)
    asked: list[RunSpec] = []

    def train(specs: Any) -> dict[str, Path]:
        asked.extend(specs)
        for each in specs:
            # The less that is removed, the better the model; nothing else differs.
            removed = float(each.options.get("compression-ratio", 0.3))
            made_up_run(options.out / each.name, accuracy=0.9 - removed / 10, bytes_=25_000, ms=40.0)
        return {each.name: options.out / each.name for each in specs}

    timed: list[list[Path]] = []

    def time(_cell: controllers_real.Cell, folders: Sequence[Path]) -> dict[Path, float]:
        timed.append(list(folders))
        return dict.fromkeys(folders, 40.0)

    cells = real_cells(tmp_path)
    rows = controllers_real.rows_of(options, cells, train, time)
    again = controllers_real.rows_of(options, cells, train, time)
    # Every model that is kept is timed once, the dense one among them, and none that a search threw away.
    for folders in timed:
        assert len(set(folders)) == len(folders) <= 2 + 4 * len(controllers_real.PREFERENCES)
        assert sum("dense" in folder.name for folder in folders) == 1
    assert rows == again
    half = len(asked) // 2
    # A search that is begun again proposes the same trainings, so that finished ones are found.
    assert asked[:half] == asked[half:]
    made = {each.name: each.options for each in asked}
    assert all(made[each.name] == each.options for each in asked)
    names, kept = len(controllers_real.PREFERENCES), rows
    assert half == len(cells) * (3 + 3 * names + names * controllers_real.TRAININGS)
    rows = [row for row in kept if row["seed"] == 0]
    # All searches are asked for their next training before any is asked for the one after it.
    subsets = half - len(cells) * names
    tried = [
        each.name.split("/")[-1]
        for each in asked[subsets - len(cells) * names * controllers_real.TRAININGS : subsets]
    ]
    assert tried[: len(cells) * names] == [f"cubic-1.0000-0.5000-seed{seed}" for seed in (0, 1) for _ in range(names)]
    # Until a search looks back, what it is after makes no difference: both preferences share these trainings.
    assert len(set(tried[: 3 * len(cells) * names])) == 3 * len(cells)
    subset = next(each for each in asked if each.name == "real/mrpc/random-subset-few_labels-seed0")
    assert (subset.options["selection"], subset.options["compression-ratio"]) == ("random", "0.5000")
    by_method = {row["method"]: row for row in rows if row["preference"] == "balanced"}
    assert by_method["tpe"]["trainings"] == controllers_real.TRAININGS
    assert by_method["tpe"]["example_passes"] == 1000 * controllers_real.TRAININGS
    assert by_method["policy"]["example_passes"] == 1000
    # It keeps its best: at least what the cubic schedule gave, which it tried first.
    assert by_method["tpe"]["utility"] >= by_method["cubic"]["utility"] - 1e-9
    few = next(each for each in asked if each.name == "real/mrpc/policy-few_labels-seed0")
    assert few.options["preference.label-weight"] == "0.07"
    assert few.options["policy"] == str(tmp_path / "policy")
    criteria = {each.name: each for each in controllers_real.judge(kept)}
    # 0.3 removed against 0.25 and 0.5.
    assert not criteria["policy minus best fixed (1 training)"].passed
    assert criteria["policy minus cubic (1 training)"].estimate.mean == pytest.approx(0.02)
    own = made["real/mrpc/cubic-0.3000-0.5000-seed0"]
    assert (own["data-ratio"], own["compression-ratio"]) == ("0.3000", "0.5000")
    table = controllers_real.summary(rows).splitlines()
    assert len(table) == 2 + names * len(controllers_real.METHODS)


def test_the_best_schedule_is_that_of_the_preference() -> None:
    simulator = load_simulator(shipped_simulator())
    data, _ = controllers_real.best_cubic(simulator, Preference(label_weight=1.0), episodes=16)
    assert data == min(DATA_RATIOS)
    wish = Preference(accuracy_weight=9.0, size_weight=0.0, latency_weight=0.0, label_weight=0.0)
    assert controllers_real.best_cubic(simulator, wish, episodes=16) == (1.0, min(COMPRESSION_RATIOS))
    wish = Preference(size_weight=1.0, latency_weight=1.0, label_weight=0.0)
    assert controllers_real.best_cubic(simulator, wish, episodes=16)[1] == max(COMPRESSION_RATIOS)


def test_every_real_run_is_a_command(tmp_path: Path) -> None:
    from sec_rl.cli import app

    options = real_options(tmp_path)
    for flags in (
        controllers_real.cubic(0.6, 0.25),
        {"schedule": "policy", **controllers_real.preferred(Preference(latency_weight=0.03))},
    ):
        words = controllers_real.spec(options, real_cells(tmp_path)[0], "x", flags).arguments(tmp_path / "run")
        app.parse_args(words, exit_on_error=False, print_error=False)
