"""The artefact against the dense model: accuracy, bytes and latency at two compression ratios.

All runs come first; latency is timed afterwards, when nothing else runs: per task and seed, the fp32 encoder in eager
PyTorch, int8 of the dense model and both artefacts alternate in one comparison.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clock import Latencies, clocked, p50_ms, worst_spread
from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import RunSpec, read_result, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.encoders import resolve_encoder
from sec_rl.measurement.latency import LatencySettings, LatencyTarget

VARIANTS = {
    "dense": {"schedule": "dense", "compression-ratio": "0"},
    "cubic-0.5": {"schedule": "cubic", "compression-ratio": "0.5"},
    "cubic-0.75": {"schedule": "cubic", "compression-ratio": "0.75"},
}


@dataclass(frozen=True)
class Limits:
    """What a variant has to reach: points of accuracy, and ratios to the dense model."""

    drop_points: float
    size_ratio: float
    speedup: float
    speedup_over_int8: float | None


# Set for the default encoder only; any other encoder is reported without a verdict.
LIMITS = {"cubic-0.5": Limits(0.7, 0.13, 4.5, 1.5), "cubic-0.75": Limits(2.0, 0.10, 7.0, None)}
FP32 = "fp32 PyTorch"


def run_name(task: str, variant: str, seed: int) -> str:
    """Return the name of a run, and of its folder."""
    return f"{task}/{variant}-seed{seed}"


def specs(options: Options, variants: Sequence[str] = tuple(VARIANTS)) -> list[RunSpec]:
    """Return all runs; seeds vary slowest, so that an early stop leaves whole comparisons."""
    found = []
    for seed in options.seeds:
        for task in options.tasks:
            for variant in variants:
                flags = {"task": str(options.task_folder(task)), "encoder": options.encoder, **VARIANTS[variant]}
                # All latency is timed below, in one comparison; a run's own reading may be short.
                flags |= {"latency-rounds": "1", "seed": str(seed), "threads": str(options.threads_per_run)}
                if options.passes is not None:
                    flags["passes"] = str(options.passes)
                found.append(RunSpec(run_name(task, variant, seed), flags))
    return found


def time_run(options: Options, task: str, seed: int) -> Latencies:
    """Time the dense encoder and the artefacts of one task and seed against each other."""
    classes = len(labels_of(options.out / run_name(task, "dense", seed)))
    targets = [LatencyTarget(FP32, "torch", resolve_encoder(options.encoder), n_classes=classes)]
    for variant in VARIANTS:
        model = options.out / run_name(task, variant, seed) / "model" / "model.onnx"
        targets.append(LatencyTarget(variant, "onnx", str(model)))
    settings = LatencySettings(threads=options.threads)
    kept = options.out / "latency" / f"{task}-seed{seed}.json"
    return clocked(targets, settings, kept, lambda line: say(f"{task} seed {seed}: {line}"))


def labels_of(folder: Path) -> dict[str, str]:
    """Return `id2label` of a run's artefact."""
    config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    return dict(config["id2label"])


def row(options: Options, task: str, variant: str, seed: int, latencies: Latencies) -> dict[str, Any]:
    """Return the figures of one run, accuracy in points, ratios to the dense model."""
    result = read_result(options.out / run_name(task, variant, seed))
    dense = read_result(options.out / run_name(task, "dense", seed))
    fp32_bytes = result["dense"]["size_bytes"]
    return {
        "task": task,
        "variant": variant,
        "seed": seed,
        "test_accuracy": 100 * result["test_accuracy"],
        "int8_cost_points": 100 * (result["fp32"]["test_accuracy"] - result["test_accuracy"]),
        "drop_points": 100 * (dense["test_accuracy"] - result["test_accuracy"]),
        "size_bytes": result["size_bytes"],
        "size_ratio": result["size_bytes"] / fp32_bytes,
        "latency_ms_batch32": p50_ms(latencies, variant, 32),
        "speedup_batch1": p50_ms(latencies, FP32, 1) / p50_ms(latencies, variant, 1),
        "speedup": p50_ms(latencies, FP32, 32) / p50_ms(latencies, variant, 32),
        "speedup_over_int8": p50_ms(latencies, "dense", 32) / p50_ms(latencies, variant, 32),
        "compression_ratio": result.get("compression_ratio"),
        "example_passes": result["example_passes"],
        "train_seconds": result["train_seconds"],
    }


def judge(rows: Sequence[dict[str, Any]], tasks: Sequence[str]) -> list[Criterion]:
    """Return the criteria per task and variant, over the seeds in `rows`."""
    criteria = []
    for task in tasks:
        for variant, limits in LIMITS.items():
            mine = [r for r in rows if (r["task"], r["variant"]) == (task, variant)]
            wanted: list[tuple[str, str, Any, float | None]] = [
                ("drop_points", "points lost against dense", "at most", limits.drop_points),
                ("size_ratio", "bytes over dense fp32", "at most", limits.size_ratio),
                ("speedup", "times faster than eager fp32, batch 32", "at least", limits.speedup),
                ("speedup_over_int8", "times faster than dense int8, batch 32", "at least", limits.speedup_over_int8),
            ]
            for key, words, bound, limit in wanted:
                if limit is not None:
                    name = f"{task}, {variant}: {words}"
                    criteria.append(Criterion(name, estimate([r[key] for r in mine]), bound, limit))
    return criteria


def summary(rows: Sequence[dict[str, Any]], tasks: Sequence[str]) -> str:
    """Return the table: a line per task and variant."""
    header = [
        "run",
        "test accuracy, %",
        "points lost",
        "MB",
        "bytes / fp32",
        "batch 32, ms",
        "x fp32",
        "x dense int8",
    ]
    columns = [("test_accuracy", 2), ("drop_points", 2), ("megabytes", 1), ("size_ratio", 3)]
    columns += [("latency_ms_batch32", 1), ("speedup", 2), ("speedup_over_int8", 2)]
    lines = []
    for task in tasks:
        for variant in VARIANTS:
            mine = [r | {"megabytes": r["size_bytes"] / 1e6} for r in rows if r["task"] == task]
            mine = [r for r in mine if r["variant"] == variant]
            label = f"{task}, {'dense, int8' if variant == 'dense' else variant}"
            lines.append([label, *(estimate([r[key] for r in mine]).text(digits) for key, digits in columns)])
    return markdown_table(header, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, time, judge and write; returns the exit code (1: a criterion failed)."""
    options = parse_options(
        "controlled_run", "The artefact against the dense model.", tasks=("sst2", "trec6"), arguments=arguments
    )
    run_all(specs(options), options.out, say, crew=options.crew)
    latencies = {(t, s): time_run(options, t, s) for t in options.tasks for s in options.seeds}
    rows = [row(options, t, v, s, latencies[t, s]) for t in options.tasks for v in VARIANTS for s in options.seeds]
    criteria = judge(rows, options.tasks) if options.encoder == "minilm-l6" else []
    spread = max(worst_spread(found) for found in latencies.values())
    int8_cost = estimate([r["int8_cost_points"] for r in rows]).text()
    notes = [
        "Accuracy is the int8 artefact's on the test split; the dense run has the same passes, labels and seed.",
        f"Rounding to int8 costs {int8_cost} points of test accuracy over all runs: what quantization-aware training"
        " could win back.",
        f"Latency: 32 tokens, medians of alternating processes; worst spread of block medians {spread:.2f}.",
    ]
    timed = {f"{task}-seed{seed}": found for (task, seed), found in latencies.items()}
    data = {"rows": rows, "latencies": timed}
    table = summary(rows, options.tasks)
    write_results(options, "The controlled run", tables=[table], criteria=criteria, notes=notes, data=data)
    return verdict(table, criteria)


if __name__ == "__main__":
    exit_with(main)
