"""Size and latency of other ways to a small model, beside the accuracy that each of them keeps.

The dense run and the artefact are those of `benchmarks.controlled_run`; what is finished there is reused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clock import Latencies, clocked, p50_ms, worst_spread
from benchmarks.console import exit_with, say
from benchmarks.controlled_run import FP32, labels_of, run_name, specs
from benchmarks.estimates import estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import do_all, read_result, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.measurement.latency import LatencySettings, LatencyTarget
from sec_rl.workers import Job

ARTEFACT = "cubic-0.5"
SHARES = (0.25, 0.5)
# Passes for recovery after the library's removal, over those of the dense training before it.
EXTRA_PASSES = 0.5
# Points by which a competitor may be below the artefact and still count as being at its accuracy.
TOLERANCE_POINTS = 0.2
LABELS = {
    ARTEFACT: "sec-rl, cubic, c = 0.5",
    "ort-int8": "dense, onnxruntime dynamic int8",
    "torch-int8": "dense, PyTorch dynamic int8",
    **{f"library-{share}": f"Torch-Pruning {100 * share:.0f} %, onnxruntime dynamic int8" for share in SHARES},
}


def folder_of(options: Options, task: str, seed: int) -> Path:
    """Return the folder of the competitors of one task and seed."""
    return options.out / "competitors" / f"{task}-seed{seed}"


def build(job: Job, options: Options) -> dict[str, dict[str, Any]]:
    """Build and score the competitors of one task and seed, or read what an earlier call built.

    Args:
        job: its argument is the task's name.
        options: of the benchmark.

    Returns:
        per competitor `test_accuracy` (in [0, 1]), `size_bytes` and `passes`.
    """
    task, seed = str(job.argument), job.seed
    # Built as `sec-rl run` trains today; earlier ones had larger batches and dropout.
    kept = folder_of(options, task, seed) / "scores-without-dropout.json"
    dense = options.out / run_name(task, "dense", seed)
    result = dense / "result.json"
    found: dict[str, dict[str, Any]] = {}
    if kept.is_file() and kept.stat().st_mtime > result.stat().st_mtime:
        found = json.loads(kept.read_text(encoding="utf-8"))
    for name in LABELS:
        if name != ARTEFACT and name not in found:
            say(f"{task} seed {seed}: building {LABELS[name]} ...")
            found[name] = _build_one(name, options, task, seed, dense)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _build_one(name: str, options: Options, task: str, seed: int, dense: Path) -> dict[str, Any]:
    import torch
    from transformers import AutoTokenizer

    from benchmarks import competitors
    from sec_rl.measurement.accuracy import classification_scores
    from sec_rl.measurement.prediction import Encodings, predict_onnx
    from sec_rl.tasks import load_task
    from sec_rl.training.batching import tokenize

    torch.set_num_threads(options.threads_per_run)
    torch.manual_seed(seed)
    data = load_task(str(options.task_folder(task)), seed=seed)
    tokenizer = AutoTokenizer.from_pretrained(dense / "model")
    model = competitors.load_stock(dense / "model")
    settings: dict[str, Any] = {
        "max_length": min(128, tokenizer.model_max_length),
        "with_segments": bool(getattr(model.config, "type_vocab_size", 0)),
    }
    test = tokenize(tokenizer, data.test.texts, data.test.pairs, **settings)
    passes = int(read_result(dense)["example_passes"])
    if name == "torch-int8":
        small, size_bytes = competitors.torch_int8(model)
        probabilities = competitors.torch_probabilities(small, test)
    else:
        if name.startswith("library-"):
            rows = tokenize(tokenizer, data.train.texts, data.train.pairs, **settings)
            share, labels = float(name.removeprefix("library-")), data.train.labels
            competitors.prune_with_library(
                model, rows, labels, share=share, batch_size=competitors.BATCH_SIZE, seed=seed
            )
            extra = round(EXTRA_PASSES * passes)
            competitors.fine_tune(model, rows, labels, passes=extra, batch_size=competitors.BATCH_SIZE, seed=seed)
            passes += extra
        path = folder_of(options, task, seed) / f"{name}.onnx"
        competitors.export_int8(model, path)
        size_bytes = path.stat().st_size
        encodings = Encodings(test.ids, test.segments, test.pad_id)
        probabilities = predict_onnx(path, encodings, threads=options.threads)
    accuracy = classification_scores(probabilities, data.test.labels).accuracy
    return {"test_accuracy": float(accuracy), "size_bytes": size_bytes, "passes": passes}


def time_all(options: Options, task: str, seed: int) -> Latencies:
    """Time the artefact, the dense model and all competitors of one task and seed against each other."""
    dense = options.out / run_name(task, "dense", seed)
    artefact = options.out / run_name(task, ARTEFACT, seed)
    classes = len(labels_of(dense))
    config = json.loads((dense / "model" / "config.json").read_text(encoding="utf-8"))
    vocabulary = int(config["vocab_size"])
    targets = [
        LatencyTarget(FP32, "torch", str(dense / "model"), n_classes=classes),
        LatencyTarget(ARTEFACT, "onnx", str(artefact / "model" / "model.onnx")),
        LatencyTarget("torch-int8", "torch-int8", str(dense / "model"), n_classes=classes),
    ]
    for name in LABELS:
        if name not in (ARTEFACT, "torch-int8"):
            path = folder_of(options, task, seed) / f"{name}.onnx"
            targets.append(LatencyTarget(name, "onnx", str(path), vocabulary=vocabulary))
    kept = folder_of(options, task, seed) / "latency.json"
    return clocked(targets, LatencySettings(threads=options.threads), kept, lambda line: say(f"{task}: {line}"))


def rows_of(
    options: Options, task: str, seed: int, scores: dict[str, dict[str, Any]], latencies: Latencies
) -> list[dict[str, Any]]:
    """Return the figures of one task and seed, accuracy in points."""
    result = read_result(options.out / run_name(task, ARTEFACT, seed))
    own = {key: result[key] for key in ("test_accuracy", "size_bytes")} | {"passes": result["example_passes"]}
    return [
        {
            "task": task,
            "seed": seed,
            "name": name,
            "test_accuracy": 100 * entry["test_accuracy"],
            "megabytes": entry["size_bytes"] / 1e6,
            "passes": entry["passes"],
            "batch1_ms": p50_ms(latencies, name, 1),
            "batch32_ms": p50_ms(latencies, name, 32),
            "speedup": p50_ms(latencies, FP32, 32) / p50_ms(latencies, name, 32),
        }
        for name, entry in {ARTEFACT: own, **scores}.items()
    ]


def summary(found: Sequence[dict[str, Any]], tasks: Sequence[str]) -> str:
    """Return the table: a line per task and way, and whether it reaches the artefact's mean accuracy."""
    columns = [("test_accuracy", 2), ("megabytes", 1), ("batch1_ms", 2), ("batch32_ms", 1), ("speedup", 2)]
    header = ["run", "test accuracy, %", "MB", "batch 1, ms", "batch 32, ms", "x fp32 PyTorch", "passes", "accurate?"]
    lines = []
    for task in tasks:
        mine = [r for r in found if r["task"] == task]
        floor = estimate([r["test_accuracy"] for r in mine if r["name"] == ARTEFACT]).mean - TOLERANCE_POINTS
        for name, label in LABELS.items():
            values = [r for r in mine if r["name"] == name]
            cells = [estimate([r[key] for r in values]).text(digits) for key, digits in columns]
            accurate = estimate([r["test_accuracy"] for r in values]).mean >= floor
            passes = f"{estimate([r['passes'] for r in values]).mean:.0f}"
            lines.append([f"{task}: {label}", *cells, passes, "yes" if accurate else "no"])
    return markdown_table(header, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, build, time and write; returns the exit code."""
    options = parse_options(
        "same_accuracy",
        "Other ways to a small model at the artefact's accuracy.",
        tasks=("sst2", "trec6"),
        runs_of="controlled_run",
        arguments=arguments,
    )
    run_all(specs(options, ("dense", ARTEFACT)), options.out, say, crew=options.crew)
    cases = [(task, seed) for task in options.tasks for seed in options.seeds]
    # As many side by side as training runs.
    jobs = [Job(f"{task}-seed{seed}", seed, task) for task, seed in cases]
    scores = dict(zip(cases, do_all(options.crew, partial(build, options=options), jobs, say), strict=True))
    latencies = {case: time_all(options, *case) for case in cases}
    found = [row for case in cases for row in rows_of(options, *case, scores[case], latencies[case])]
    table = summary(found, options.tasks)
    spread = max(worst_spread(times) for times in latencies.values())
    notes = [
        f"'Accurate': mean test accuracy at most {TOLERANCE_POINTS} points below the artefact's.",
        "Torch-Pruning removes that share of every layer's heads and feed-forward neurons from the trained dense"
        f" model and is then trained on with cross-entropy: {1 + EXTRA_PASSES:g} times the passes of the artefact.",
        "onnxruntime files: torch.onnx (dynamo) and quantize_dynamic, int8 per channel. PyTorch: quantize_dynamic on"
        " linear layers, size of the saved weights.",
        f"Latency: 32 tokens, medians of alternating processes; worst spread of block medians {spread:.2f}.",
    ]
    data = {"rows": found, "latencies": {f"{task}-seed{seed}": times for (task, seed), times in latencies.items()}}
    write_results(options, "Other ways at the artefact's accuracy", tables=[table], notes=notes, data=data)
    print(table)
    return 0


if __name__ == "__main__":
    exit_with(main)
