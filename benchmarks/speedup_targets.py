"""One policy, many preferences: speed-up targets over what this machine can reach, each in one real training.

What was reached is timed after all training, every model taking turns with every other: a run times its own model for
some seconds when it closes, and a machine that others use is faster and slower by tenths within the hour.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import Latencies, clocked, quiet_ms, remembered, worst_spread
from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, Estimate, estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import SEC_RL, RunSpec, read_result, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_policy
from sec_rl.agents.targets_report import speedup_at
from sec_rl.classifier import read_label_names
from sec_rl.encoders import resolve_encoder
from sec_rl.errors import InputError, SecRlError
from sec_rl.measurement.latency import LatencySettings, LatencyTarget

N_TARGETS = 5
# A target may be passed by this share: what is removed comes in whole structures, and the clock has its own mind.
MOST_OVER = 0.15
UNREACHABLE = 1000
_ASKED = 3
# Everything is compared with fp32, and what a process of it takes differs by some hundredths from the next one.
_FP32, _BATCH = tuple(f"fp32, process {i}" for i in range(1, 6)), 32
# Short turns, and many: neighbours in time are what is compared.
_ROUNDS, _TURN_SECONDS, _WARMUP, _LEAST_CALLS = 21, 0.25, 2, 3


def closest_speedup(options: Options, task: str) -> tuple[float, str]:
    """Ask for the impossible; return the closest speed-up that the refusal names, and the refusal."""
    words = ["replay", "--task", str(options.task_folder(task)), "--encoder", options.encoder]
    words += ["--target-speedup", str(UNREACHABLE), "--threads", str(options.threads)]
    words += ["--out", str(options.out / "unreachable")]
    done = subprocess.run([*SEC_RL, *words], capture_output=True, text=True, check=False)
    refusal = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    if done.returncode != 2 or "the closest is" not in refusal:
        raise SecRlError(f"A speed-up of {UNREACHABLE} was not refused with the closest one: {refusal!r}.")
    return float(refusal.split("the closest is ")[1].split(")")[0]), refusal


def specs(options: Options, task: str, targets: Sequence[float]) -> list[RunSpec]:
    """Return one run per seed and target, and per seed one without a target: int8 of the dense model."""
    found = []
    for seed in options.seeds:
        common = {"task": str(options.task_folder(task)), "encoder": options.encoder, "seed": str(seed)}
        common["threads"] = str(options.threads)
        if options.passes is not None:
            common["passes"] = str(options.passes)
        found.append(RunSpec(f"{task}/dense-seed{seed}", common | {"schedule": "dense", "compression-ratio": "0"}))
        for target in targets:
            asked = {"schedule": "policy", "preference.target-speedup": f"{target:.2f}"}
            found.append(RunSpec(run_name(task, target, seed), common | asked))
    return found


def run_name(task: str, target: float, seed: int) -> str:
    """Return the name of a run."""
    return f"{task}/x{target:.2f}-seed{seed}"


def timed(options: Options, names: Sequence[str]) -> Latencies:
    """Time the artefacts of runs and the dense fp32 model in one comparison."""
    n_classes = len(read_label_names(options.out / names[0] / "model"))
    encoder = resolve_encoder(options.encoder)
    targets = [LatencyTarget(name, "torch", encoder, n_classes) for name in _FP32]
    targets += [LatencyTarget(name, "onnx", str(options.out / name / "model" / "model.onnx")) for name in names]
    settings = LatencySettings(
        batch_sizes=(_BATCH,),
        threads=options.threads,
        rounds=_ROUNDS,
        max_rounds=_ROUNDS,
        block_seconds=_TURN_SECONDS,
        warmup=_WARMUP,
        least_calls=_LEAST_CALLS,
    )
    return clocked(targets, settings, options.out / "latency" / "all.json", say)


def reached(latencies: Latencies, name: str) -> float:
    """Return the dense fp32 model's time over an artefact's, both in the machine's quiet moments."""
    *dense, ours = (quiet_ms(latencies, each, _BATCH) for each in (*_FP32, name))
    return float(np.mean(dense)) / ours


def row(options: Options, task: str, target: float, seed: int, latencies: Latencies) -> dict[str, Any]:
    """Return the figures of one run."""
    name = run_name(task, target, seed)
    result = read_result(options.out / name)
    timed_speedup, closing = reached(latencies, name), speedup_at(result, "p05")
    seconds = result["seconds"]
    total = sum(seconds.values())
    return {
        "target": target,
        "seed": seed,
        "speedup": timed_speedup,
        "over": timed_speedup / target - 1.0,
        "closing_speedup": closing,
        "closing_over": closing / target - 1.0,
        "test_accuracy": 100 * result["test_accuracy"],
        "size_ratio": result["size_bytes"] / result["dense"]["size_bytes"],
        "label_fraction": result["label_fraction"],
        "compression_ratio": result["compression_ratio"],
        "seconds": total,
        "control_share": 100 * seconds["control"] / total,
        "measuring_share": 100 * (seconds["validation"] + seconds["timing"]) / total,
        "opening_share": 100 * seconds["opening"] / total,
        "closing_share": 100 * seconds["closing"] / total,
    }


def within_reach(options: Options, task: str) -> tuple[float, str]:
    """Return the highest speed-up of a task on this machine, and what a run says that is asked for more."""
    policy = load_policy(shipped_policy()).network.fingerprint()
    asked = {"task": task, "encoder": options.encoder, "policy": policy}

    def ask() -> tuple[float, str]:
        # Each time by the clock of the moment; what all of them hold within reach is.
        return min(closest_speedup(options, task) for _ in range(_ASKED))

    closest, refusal = remembered(options.out / f"targets-{task}.json", asked, options.threads, ask)
    return float(closest), str(refusal)


def picture(path: Path, rows: Sequence[dict[str, Any]], dense: Estimate) -> None:
    """Draw accuracy over the speed-up that was reached, one point per run, and the targets as lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for target in sorted({r["target"] for r in rows}):
        axes.axvline(target, color="#bbbbbb", linewidth=1, linestyle="--")
    axes.plot([r["speedup"] for r in rows], [r["test_accuracy"] for r in rows], "o", color="#2563eb", label="replay")
    axes.axhline(dense.mean, color="#555555", linewidth=1, label="dense model, int8")
    axes.set_xlabel("times faster than eager fp32 PyTorch, batch 32 (dashed: asked)")
    axes.set_ylabel("test accuracy, %")
    axes.legend()
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, judge, draw and write; returns the exit code (1: a criterion failed)."""
    options = parse_options(
        "speedup_targets", "Speed-up targets, each in one training.", tasks=("sst2",), arguments=arguments
    )
    if len(options.tasks) != 1:
        raise InputError(f"Speed-ups are asked of one task; {len(options.tasks)} are given.")
    task = options.tasks[0]
    options.out.mkdir(parents=True, exist_ok=True)
    closest, refusal = within_reach(options, task)
    run_all(specs(options, task, ()), options.out, say)
    dense_runs = [read_result(options.out / task / f"dense-seed{seed}") for seed in options.seeds]
    lowest = float(np.median([speedup_at(result, "p05") for result in dense_runs]))
    targets = [round(float(t), 1) for t in np.geomspace(1.1 * lowest, 0.9 * closest, N_TARGETS)]
    run_all(specs(options, task, targets), options.out, say)
    every = [(target, seed) for target in targets for seed in options.seeds]
    latencies = timed(options, [run_name(task, *each) for each in every])
    rows = [row(options, task, *each, latencies) for each in every]
    dense = estimate([100 * r["test_accuracy"] for r in dense_runs])
    criteria, lines = [], []
    for target in targets:
        mine = [r for r in rows if r["target"] == target]
        over = estimate([r["over"] for r in mine])
        criteria.append(Criterion(f"target {target:g}: reached over asked, minus 1", over, "at least", 0.0))
        criteria.append(Criterion(f"target {target:g}: reached over asked, minus 1", over, "at most", MOST_OVER))
        columns = (
            ("speedup", 2),
            ("closing_speedup", 2),
            ("test_accuracy", 2),
            ("size_ratio", 3),
            ("label_fraction", 2),
        )
        lines.append([f"{target:g}x", *(estimate([r[key] for r in mine]).text(digits) for key, digits in columns)])
    for key, words, limit in (
        ("control_share", "controller and bookkeeping, % of a replay", 2.0),
        ("measuring_share", "validation and timing, % of a replay", 15.0),
    ):
        criteria.append(Criterion(words, estimate([r[key] for r in rows]), "at most", limit))
    picture(options.results / "speedup_targets.png", rows, dense)
    table = markdown_table(
        ["asked", "speed-up", "reported by the runs", "test accuracy, %", "bytes / fp32", "labels"], lines
    )
    shares = {part: estimate([r[f"{part}_share"] for r in rows]) for part in ("opening", "closing")}
    notes = [
        f"Task {task}; int8 of the dense model alone: {lowest:.2f}x, accuracy {dense.text()} %.",
        f"Beyond reach: `{refusal}`",
        f"Speed-up: the dense fp32 model's time over the artefact's, both the 5th percentile of {_ROUNDS} rounds in "
        "which all models take turns, after all training: the machine's quiet moments, since other work on it slows "
        f"int8 more than fp32; turns spread by up to {100 * worst_spread(latencies):.0f} %. Fp32 is the mean of "
        f"{len(_FP32)} processes. Reported by the runs: of the same percentiles, as each measured them at its "
        "closing.",
        f"A replay takes {estimate([r['seconds'] for r in rows]).text(0)} s. Loading task and encoder is "
        f"{shares['opening'].text(1)} % of it; export, the test split and the timing that the result reports, at the "
        f"end, are {shares['closing'].text(1)} %.",
    ]
    write_results(
        options,
        "One policy, five speed-up targets",
        tables=[table, "![accuracy over speed-up](speedup_targets.png)"],
        criteria=criteria,
        notes=notes,
        data={"rows": rows, "targets": targets},
    )
    return verdict(table, criteria)


if __name__ == "__main__":
    exit_with(main)
