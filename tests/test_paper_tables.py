"""The paper's experiment: arms that differ in one technique, rows from run folders, verdicts that can say no."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.options import Options, parse_options
from benchmarks.paper_arms import ALL_ARMS, ARMS, BASELINE, SEC, SEQUENTIAL, best_data_arm, sequential_specs, specs
from benchmarks.paper_figures import Curve, write_figures
from benchmarks.paper_rows import arm_rows, judge, row, stages, trajectory
from benchmarks.paper_tables import PAPER, paper_table, summary
from sec_rl.cli import main


@pytest.fixture
def options(tmp_path: Path) -> Options:
    (tmp_path / "sst2").mkdir()
    words = ["--tasks-root", str(tmp_path), "--out", str(tmp_path / "runs")]
    return parse_options("paper_tables", "", tasks=("sst2",), arguments=words)


def test_every_arm_of_the_paper_is_trained_at_equal_passes(options: Options) -> None:
    assert set(PAPER) == set(ARMS)
    first, second = sequential_specs(options, "sst2", 1000, "active")
    runs = specs(options, "sst2", 1000)
    assert len(runs) == 3 * (len(ARMS) - 1)
    assert {run.options["passes"] for run in runs} == {"1000"}
    assert {run.options["passes"] for run in first + second} == {"500"}
    assert all(run.options["transfer.warm-start"].endswith("-data-seed0/model") for run in second[:1])
    # The sequence keeps its data technique while it compresses.
    assert {run.options["data-ratio"] for run in first + second} == {"0.5"}
    assert len({run.name for run in runs + first + second}) == 3 * (len(ARMS) + 1)


def test_every_run_is_one_that_the_command_takes(
    options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(options, seeds=(0,))
    first, second = sequential_specs(one, "sst2", 1000, "transfer")
    for spec in [*specs(one, "sst2", 1000), *first, *second]:
        monkeypatch.setattr("sys.argv", ["sec-rl", *spec.arguments(Path("unused")), "--print-config"])
        with contextlib.suppress(SystemExit):
            main()
        assert "perplexity = true" in capsys.readouterr().out


def test_the_best_data_technique_is_chosen_by_validation() -> None:
    scores = {name: [0.8, 0.8] for name in ARMS} | {"transfer": [0.7, 0.95], SEC: [1.0, 1.0]}
    assert best_data_arm(scores) == "transfer"


def write_run(folder: Path, accuracies: list[float], *, label_fraction: float = 1.0, size: int = 100) -> None:
    """Write what a run leaves behind."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.onnx").write_bytes(b"x" * size)
    (folder / "model" / "model.safetensors").write_bytes(b"x" * 4 * size)
    lines = [
        {"metrics": {"segment": i, "validation_accuracy": a, "example_passes": 100 * i, "seconds": 2.0 * i}}
        for i, a in enumerate(accuracies)
    ]
    (folder / "trajectory.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    own = {"test_accuracy": accuracies[-1], "validation_accuracy": 0.6, "perplexity": 5.0}
    result = own | {
        "source": "measured",
        "train_seconds": 9.0,
        "preparing_seconds": 1.0,
        "label_fraction": label_fraction,
    }
    fp32 = {"test_accuracy": accuracies[-1] + 0.01, "validation_accuracy": 0.7, "perplexity": 4.0}
    result |= {"example_passes": 300, "fp32": fp32}
    (folder / "result.json").write_text(json.dumps(result))


def test_rows_say_what_is_deployed_and_when_the_baseline_was_reached(options: Options) -> None:
    write_run(options.out / "sst2/baseline-seed0", [0.5, 0.7, 0.9, 0.8])
    write_run(options.out / "sst2/sequential-data-seed0", [0.5, 0.6, 0.7], label_fraction=0.5)
    write_run(options.out / "sst2/sequential-seed0", [0.7, 0.75, 0.85], label_fraction=0.4)
    path = trajectory(stages(options, "sst2", SEQUENTIAL, 0))
    assert [point["accuracy"] for point in path] == [0.5, 0.6, 0.7, 0.75, 0.85]
    assert [point["passes"] for point in path] == [0, 100, 200, 300, 400]
    latencies: Any = {name: {"32": {"p50_ms": 7.0}} for name in ALL_ARMS}
    dense, int8, two = (row(options, "sst2", n, 0, latencies) for n in (BASELINE, "quantization", SEQUENTIAL))
    assert (dense["accuracy"], dense["size_bytes"], dense["perplexity"]) == (pytest.approx(0.81), 400, 4.0)
    assert (int8["accuracy"], int8["size_bytes"], int8["perplexity"]) == (0.8, 100, 5.0)
    assert (dense["validation_accuracy"], int8["validation_accuracy"]) == (0.7, 0.6)
    # The baseline's last validation accuracy is 0.8; it was there after two segments.
    assert dense["seconds_to_baseline"] == 4.0
    assert (two["seconds_to_baseline"], two["passes_to_baseline"]) == (8.0, 400)
    assert (two["label_fraction"], two["train_seconds"]) == (pytest.approx(0.9), 20.0)
    # Its head began anew with the second stage.
    assert two["perplexity"] is None


def made_up(arm: str, seed: int) -> dict[str, Any]:
    accuracy = 0.88 + 0.001 * seed
    small = arm in (SEC, SEQUENTIAL)
    return {
        "arm": arm,
        "seed": seed,
        "accuracy": accuracy - (0.006 + 0.0001 * seed if arm == SEC else 0.0),
        "validation_accuracy": accuracy,
        "perplexity": 4.5 if arm == SEC else 5.0,
        "train_seconds": 60.0,
        "seconds_to_baseline": None if arm == SEC and seed == 1 else 40.0,
        "passes_to_baseline": None if arm == SEC and seed == 1 else 4000,
        "size_bytes": 12_000_000 if small else 90_000_000,
        "latency_ms": 20.0 if small else 120.0,
        "label_fraction": 0.45 if arm == SEC else 1.0,
    }


def test_verdicts_and_tables() -> None:
    rows = [made_up(arm, seed) for arm in ALL_ARMS for seed in range(3)]
    verdicts = {criterion.name: criterion.passed for criterion in judge(rows)}
    failed = {name for name, passed in verdicts.items() if not passed}
    assert failed == {"sec, points lost to the baseline", "sec, points lost to the sequence"}
    entries = arm_rows(rows)
    sec = next(entry for entry in entries if entry["arm"] == SEC)
    assert sec["seconds_to_baseline"] is None
    assert sec["seeds_that_reached_the_baseline"] == 2
    assert sec["paired_t_test_p"] < 0.05
    assert next(e for e in entries if e["arm"] == BASELINE)["paired_t_test_p"] is None
    table = summary(entries)
    assert "not reached" in next(line for line in table.splitlines() if line.startswith("| sec "))
    assert "| sec | 0.324 | 0.133 | 0.533 | 0.167 | +1.7 | -0.61 | 9.3 | 4.50 |" in paper_table(entries)


def test_figures_open_without_a_network(tmp_path: Path) -> None:
    found = {n: Curve(np.linspace(0, 2, 5), np.linspace([0.5] * 2, [0.9] * 2, 5).T) for n in ("baseline", "sec")}
    write_figures(found, "sst2", tmp_path / "figure", "python -m benchmarks.paper_tables", ["A note."])
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    page = (tmp_path / "figure.html").read_text()
    assert "<svg" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
