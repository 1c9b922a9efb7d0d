"""How far the clock can be trusted: a model against itself, and models in order while a core is busy.

Trains nothing: latency does not depend on what a model's weights hold.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.options import Options, parse_options
from benchmarks.writing import markdown_table, write_results
from sec_rl.compression.export import build_onnx
from sec_rl.compression.loading import load_dense
from sec_rl.compression.shape import EncoderShape, LayerShape
from sec_rl.compression.vault import Vault, build_model
from sec_rl.encoders import resolve_encoder
from sec_rl.files import append_line
from sec_rl.measurement.latency import LatencySettings, LatencyStats, LatencyTarget, measure_latencies
from sec_rl.measurement.machine import describe_machine
from sec_rl.measurement.ratio import speedup

COMPARISONS, RANKINGS = 100, 10
QUICK_COMPARISONS, QUICK_RANKINGS = 3, 1
# What a comparison's interval promises is 95 of a hundred; chance takes some.
LEAST_COVERED = 0.9
# Share of every layer's heads and neurons that is left.
WIDTHS = {"dense": 1.0, "three quarters": 0.75, "half": 0.5, "a quarter": 0.25}
BATCH, BLOCK_SECONDS = 32, 0.15
IDLE, BUSY = "idle", "one core busy"


def write_models(folder: Path, encoder: str) -> dict[str, Path]:
    """Write int8 models of one encoder, of different widths; returns their files by name, slowest first."""
    model, _ = load_dense(resolve_encoder(encoder), ("a", "b"), seed=0)
    vault = Vault(model.config, dict(model.state_dict()))
    dense = model.config.shape()
    found = {}
    for name, width in WIDTHS.items():
        heads, neurons = (round(width * most) for most in (dense.dense_heads, dense.dense_neurons))
        layer = LayerShape(tuple(range(heads)), tuple(range(neurons)))
        shape = EncoderShape((layer,) * len(dense.layers), dense.dense_heads, dense.dense_neurons)
        found[name] = folder / f"{name.replace(' ', '-')}.onnx"
        found[name].write_bytes(build_onnx(build_model(vault, shape), quantized=True).SerializeToString())
    return found


def timed(files: Sequence[tuple[str, Path]], vocabulary: int, threads: int) -> dict[str, LatencyStats]:
    """Time models in turns, each in a process of its own."""
    settings = LatencySettings(
        batch_sizes=(BATCH,), threads=threads, rounds=7, max_rounds=14, block_seconds=BLOCK_SECONDS
    )
    targets = [LatencyTarget(name, "onnx", str(path), vocabulary=vocabulary) for name, path in files]
    return {name: stats[BATCH] for name, stats in measure_latencies(targets, settings).items()}


@contextlib.contextmanager
def busy_core(busy: bool) -> Iterator[None]:
    """Let a process count as fast as it can beside whatever is timed."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def against_itself(files: dict[str, Path], vocabulary: int, threads: int) -> dict[str, Any]:
    """Return the speed-up of a model over a copy of itself, with its interval."""
    path = files["half"]
    stats = timed([("first", path), ("second", path)], vocabulary, threads)
    found = speedup(stats["first"], stats["second"])
    spread = max(each.spread for each in stats.values())
    return {"value": found.value, "low": found.low, "high": found.high, "spread": spread}


def ranked(files: dict[str, Path], vocabulary: int, threads: int, busy: bool) -> dict[str, Any]:
    """Return the models' medians, and whether they stand in the right order."""
    with busy_core(busy):
        stats = timed(list(files.items()), vocabulary, threads)
    medians = {name: each.p50_ms for name, each in stats.items()}
    right = sorted(medians, key=medians.__getitem__, reverse=True) == list(files)
    return {"busy": busy, "right": right, "p50_ms": medians, "spread": max(each.spread for each in stats.values())}


def continued(path: Path, count: int, words: str, measure: Any, taken: dict[str, Any]) -> list[dict[str, Any]]:
    """Return `count` lines of a file, measuring those that are missing; each is on disk when it is measured.

    Lines that were taken otherwise than `taken` says (encoder, machine) are thrown away.
    """
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if lines and lines[0].get("taken") != taken:
        path.unlink()
        lines = []
    for number in range(len(lines), count):
        lines.append({"taken": taken, **measure()})
        append_line(path, lines[-1])
        if (number + 1) % 10 == 0:
            say(f"{words}: {number + 1} of {count}")
    return [{key: value for key, value in line.items() if key != "taken"} for line in lines[:count]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, judge and write; returns the exit code (1: a criterion failed)."""
    options = parse_options("noise", "A model timed against itself.", tasks=(), seeds=(0,), arguments=arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    files = write_models(options.out, options.encoder)
    vocabulary = 20_000
    n_same, n_ranked = (QUICK_COMPARISONS, QUICK_RANKINGS) if options.quick else (COMPARISONS, RANKINGS)

    def same() -> dict[str, Any]:
        return against_itself(files, vocabulary, options.threads)

    taken = {"encoder": options.encoder, "machine": describe_machine(options.threads)}
    pairs = continued(options.out / "pairs.jsonl", n_same, "a model against itself", same, taken)
    orders = {}
    for name in (IDLE, BUSY):

        def order(busy: bool = name == BUSY) -> dict[str, Any]:
            return ranked(files, vocabulary, options.threads, busy)

        orders[name] = continued(
            options.out / f"{name.replace(' ', '-')}.jsonl", n_ranked, f"ranked, {name}", order, taken
        )
    return write(options, pairs, orders)


def write(options: Options, pairs: list[dict[str, Any]], orders: dict[str, list[dict[str, Any]]]) -> int:
    """Write the page; returns the exit code."""
    covered = [float(pair["low"] <= 1.0 <= pair["high"]) for pair in pairs]
    chance = binomtest(int(sum(covered)), len(covered)).proportion_ci(0.95, method="exact")
    off = sorted(abs(pair["value"] - 1.0) for pair in pairs)
    criteria = [Criterion("share of intervals that hold 1", estimate(covered), "at least", LEAST_COVERED)]
    lines = [
        [
            "a model against itself",
            str(len(pairs)),
            f"{int(sum(covered))} intervals hold 1",
            f"{max(pair['spread'] for pair in pairs):.3f}",
        ]
    ]
    for name, found in orders.items():
        right = sum(each["right"] for each in found)
        spread = f"{max(each['spread'] for each in found):.3f}"
        lines.append(
            [f"{len(WIDTHS)} models in order, {name}", str(len(found)), f"{right} in the right order", spread]
        )
        rate = estimate([float(each["right"]) for each in found])
        criteria.append(Criterion(f"share of right orders, {name}", rate, "at least", 1.0))
    medians = [
        [name, *(f"{estimate([each['p50_ms'][name] for each in found]).text(2)}" for found in orders.values())]
        for name in WIDTHS
    ]
    tables = [
        markdown_table(["comparison", "times", "found", "largest spread"], lines),
        markdown_table(["width", *(f"ms, batch {BATCH}, {name}" for name in orders)], medians),
    ]
    notes = [
        f"Coverage {100 * sum(covered) / len(covered):.0f} % [{100 * chance.low:.0f}, {100 * chance.high:.0f}] "
        "(Clopper and Pearson); each interval is that of a sign test over 7 to 14 rounds, by which `sec-rl compare` "
        "judges, too.",
        f"A model is off itself by {100 * off[len(off) // 2]:.1f} % in the median, {100 * off[-1]:.1f} % at most.",
        "The busy core is a process that counts as fast as it can, on the cores that are timed.",
    ]
    write_results(
        options,
        "How far the clock can be trusted",
        tables=tables,
        criteria=criteria,
        notes=notes,
        over="comparisons",
        data={"pairs": pairs, "orders": orders},
    )
    return verdict(tables[0], criteria)


if __name__ == "__main__":
    exit_with(main)
