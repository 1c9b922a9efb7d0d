"""The figures of every arm of the paper's experiment: from runs to rows, entries, curves and verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.clock import Latencies, clocked, p50_ms
from benchmarks.estimates import Criterion, Estimate, estimate
from benchmarks.options import Options
from benchmarks.paper_arms import ALL_ARMS, BASELINE, SEC, SEQUENTIAL, data_stage, run_name
from benchmarks.paper_figures import Curve
from benchmarks.runs import read_result
from sec_rl.measurement.latency import LatencySettings, LatencyTarget


def stages(options: Options, task: str, arm: str, seed: int) -> list[Path]:
    """Return the folders of an arm's training, in order; the last one holds what is deployed."""
    last = options.out / run_name(task, arm, seed)
    return [options.out / data_stage(task, seed), last] if arm == SEQUENTIAL else [last]


def trajectory(folders: Sequence[Path]) -> list[dict[str, float]]:
    """Return `accuracy`, `passes` and `seconds` after every segment, over all stages of a training."""
    points: list[dict[str, float]] = []
    for folder in folders:
        before = points[-1] if points else {"passes": 0.0, "seconds": 0.0}
        for line in (folder / "trajectory.jsonl").read_text(encoding="utf-8").splitlines():
            metrics = json.loads(line)["metrics"]
            if points and metrics["segment"] == 0:
                # The opened session of a later stage is the end of the stage before.
                continue
            points.append(
                {
                    "accuracy": metrics["validation_accuracy"],
                    "passes": before["passes"] + metrics["example_passes"],
                    "seconds": before["seconds"] + metrics["seconds"],
                }
            )
    return points


def time_task(options: Options, task: str, seed: int, say: Callable[[str], None]) -> Latencies:
    """Time what every arm deploys, all against each other."""
    targets = []
    for name, arm in ALL_ARMS.items():
        model = stages(options, task, name, seed)[-1] / "model"
        if arm.format == "int8":
            targets.append(LatencyTarget(name, "onnx", str(model / "model.onnx")))
        else:
            n_classes = len(json.loads((model / "config.json").read_text(encoding="utf-8"))["id2label"])
            targets.append(LatencyTarget(name, "torch", str(model), n_classes=n_classes))
    settings = LatencySettings(batch_sizes=(32,), threads=options.threads, rounds=5, max_rounds=8)
    kept = options.out / "latency" / f"{task}-seed{seed}.json"
    return clocked(targets, settings, kept, say)


def row(options: Options, task: str, name: str, seed: int, latencies: Latencies) -> dict[str, Any]:
    """Return the figures of one arm and seed; accuracies are shares, like those of result.json."""
    arm = ALL_ARMS[name]
    folders = stages(options, task, name, seed)
    results = [read_result(folder) for folder in folders]
    deployed = results[-1]["fp32"] if arm.format == "fp32" else results[-1]
    file = folders[-1] / "model" / ("model.safetensors" if arm.format == "fp32" else "model.onnx")
    goal = trajectory(stages(options, task, BASELINE, seed))[-1]["accuracy"]
    points = trajectory(folders)
    reached = next((point for point in points if point["accuracy"] >= goal), None)
    return {
        "arm": name,
        "seed": seed,
        "accuracy": deployed["test_accuracy"],
        "validation_accuracy": deployed["validation_accuracy"],
        # The head that perplexity is read by starts anew with the second stage: it has seen half of what others have.
        "perplexity": None if name == SEQUENTIAL else deployed["perplexity"],
        # What a technique costs beside steps is its own: choosing labels, guessing them, choosing structures.
        "train_seconds": sum(result["train_seconds"] + result["preparing_seconds"] for result in results),
        "seconds_to_baseline": None if reached is None else reached["seconds"],
        "passes_to_baseline": None if reached is None else reached["passes"],
        "example_passes": sum(result["example_passes"] for result in results),
        "size_bytes": file.stat().st_size,
        "latency_ms": p50_ms(latencies, name, 32),
        # A stage that chooses anew may buy the same labels twice; at most all are bought.
        "label_fraction": min(1.0, sum(result["label_fraction"] for result in results)),
    }


# Column, words, whom the combination is compared with, and the most that its ratio to them may be; of accuracy, the
# most points that it may lose to them.
_LIMITS = (
    ("size_bytes", "bytes over the baseline's", BASELINE, 0.15),
    ("latency_ms", "latency over the baseline's", BASELINE, 0.17),
    ("accuracy", "points lost to the baseline", BASELINE, 0.5),
    ("perplexity", "perplexity over the baseline's", BASELINE, 1.0),
    ("accuracy", "points lost to the sequence", SEQUENTIAL, 0.0),
    ("size_bytes", "bytes over the sequence's", SEQUENTIAL, 1.0),
    ("latency_ms", "latency over the sequence's", SEQUENTIAL, 1.0),
)
_COLUMNS = (
    "accuracy",
    "validation_accuracy",
    "perplexity",
    "train_seconds",
    "size_bytes",
    "latency_ms",
    "label_fraction",
)


def arm_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per arm: an `Estimate` per column, and the paired test against the baseline."""
    found = []
    baseline = [r["accuracy"] for r in rows if r["arm"] == BASELINE]
    for name in ALL_ARMS:
        mine = [r for r in rows if r["arm"] == name]
        entry: dict[str, Any] = {"arm": name, "technique": ALL_ARMS[name].technique, "format": ALL_ARMS[name].format}
        for key in _COLUMNS:
            values = [r[key] for r in mine]
            entry[key] = None if None in values else estimate(values)
        reached = [r for r in mine if r["seconds_to_baseline"] is not None]
        for key in ("seconds_to_baseline", "passes_to_baseline"):
            entry[key] = estimate([r[key] for r in reached]) if len(reached) == len(mine) else None
        entry["seeds_that_reached_the_baseline"] = len(reached)
        gains = np.array([r["accuracy"] for r in mine]) - np.array(baseline)
        tested = len(gains) > 1 and bool(np.ptp(gains) > 0.0)
        entry["accuracy_gain"] = estimate(gains.tolist())
        entry["paired_t_test_p"] = float(stats.ttest_1samp(gains, 0.0).pvalue) if tested else None
        entry["seeds"] = len(mine)
        found.append(entry)
    return found


def json_ready(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of `arm_rows` with its estimates as mappings."""
    return {key: value.to_dict() if isinstance(value, Estimate) else value for key, value in entry.items()}


def judge(rows: Sequence[dict[str, Any]]) -> list[Criterion]:
    """Return what the combination has to reach against the baseline, and its difference to the sequence."""
    sec = {r["seed"]: r for r in rows if r["arm"] == SEC}
    labels = estimate([r["label_fraction"] for r in sec.values()])
    criteria = [Criterion("sec, share of the labels", labels, "at most", 0.5)]
    for column, words, other, limit in _LIMITS:
        pairs = [(sec[r["seed"]], r) for r in rows if r["arm"] == other]
        found = [
            100.0 * (theirs[column] - mine[column]) if column == "accuracy" else mine[column] / theirs[column]
            for mine, theirs in pairs
        ]
        criteria.append(Criterion(f"sec, {words}", estimate(found), "at most", limit))
    return criteria


def curves(options: Options, task: str) -> dict[str, Curve]:
    """Return validation accuracy over epochs of every arm that trains on its own."""
    baseline = read_result(options.out / run_name(task, BASELINE, options.seeds[0]))
    pool = baseline["labels_bought"] / baseline["label_fraction"]
    found = {}
    for name, arm in ALL_ARMS.items():
        if arm.training is not None:
            continue
        paths = [trajectory(stages(options, task, name, seed)) for seed in options.seeds]
        epochs = np.array([point["passes"] for point in paths[0]]) / pool
        found[name] = Curve(epochs, np.array([[point["accuracy"] for point in path] for path in paths]))
    return found
