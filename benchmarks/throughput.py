"""Training throughput: sec-rl's loop against the Trainer's recipes, in one interleaved run.

Every recipe lives in a process of its own; they take turns, block by block, and a figure is compared with its
neighbours of the same round only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.console import exit_with
from benchmarks.estimates import Criterion, Estimate, estimate
from benchmarks.options import Options, parse_options
from benchmarks.runs import BenchmarkError
from benchmarks.throughput_recipes import BATCH_SIZE, MAX_LENGTH, RECIPES, flops_per_example
from benchmarks.writing import markdown_table, write_results
from sec_rl.encoders import resolve_encoder
from sec_rl.measurement.machine import supports_bf16
from sec_rl.training.precision import Precision, resolve_precision

ROUNDS = 7
BLOCK_SECONDS = 12.0
LABELS = {
    "ours": "sec-rl",
    "trainer-fp32-128": "Trainer, padded to 128, fp32 (run_glue's recipe)",
    "trainer-fp32-dynamic": "Trainer, dynamic padding, fp32",
    "trainer-fp32-grouped": "Trainer, dynamic padding, grouped by length, fp32",
    "trainer-bf16-dynamic": "Trainer, dynamic padding, bf16",
    "trainer-bf16-grouped": "Trainer, dynamic padding, grouped by length, bf16",
}
# How many times faster than a recipe ours has to be.
LEAST_RATIO = {recipe: 3.0 if recipe == "trainer-fp32-128" else 1.0 for recipe in LABELS if recipe != "ours"}
# Per recipe, and round, examples (for GEMM: floating-point operations) per second.
Speeds = dict[str, list[float]]


class Worker:
    """A recipe's process."""

    def __init__(self, recipe: str, options: Options, task: str, seed: int) -> None:
        words = [recipe, str(options.task_folder(task)), resolve_encoder(options.encoder), str(options.threads)]
        self._recipe = recipe
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.throughput_worker", *words, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def speed(self, steps: int) -> float:
        """Return examples per second over `steps` steps."""
        block = self.block(steps)
        return float(block["examples"] / block["seconds"])

    def block(self, steps: int) -> dict[str, Any]:
        """Run `steps` timed steps."""
        if self._child.stdin is None:
            raise BenchmarkError(f"Recipe {self._recipe!r} takes no questions.")
        self._child.stdin.write(f"{steps}\n")
        self._child.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._child.terminate()
        self._child.communicate()

    def _answer(self) -> dict[str, Any]:
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line:
            raise BenchmarkError(f"Recipe {self._recipe!r} ended with code {self._child.wait()}; see above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def workers(options: Options, task: str) -> Iterator[dict[str, Worker]]:
    """Start a process per recipe, one after the other, and end them all."""
    with contextlib.ExitStack() as stack:
        started = {}
        for recipe in RECIPES:
            if "bf16" in recipe and not supports_bf16():
                continue
            started[recipe] = Worker(recipe, options, task, options.seeds[0])
            stack.callback(started[recipe].close)
        yield started


def interleave(options: Options, task: str) -> Speeds:
    """Let the recipes take turns; the order turns around every other round."""
    rounds, seconds = (2, 2.0) if options.quick else (ROUNDS, BLOCK_SECONDS)
    speeds: Speeds = {}
    with workers(options, task) as running:
        steps = {}
        for name, worker in running.items():
            block = worker.block(3)
            steps[name] = int(np.clip(round(3 * seconds / block["seconds"]), 3, 500))
        for turn in range(rounds):
            for name in list(running)[:: -1 if turn % 2 else 1]:
                speeds.setdefault(name, []).append(running[name].speed(steps[name]))
            told = ", ".join(f"{name} {speeds[name][-1]:.0f}" for name in LABELS if name in speeds)
            left = (rounds - turn - 1) * len(running) * seconds / 60
            print(f"[{turn + 1}/{rounds}] {told} examples/s; {left:.0f} min left", file=sys.stderr, flush=True)
    return speeds


def ratio(speeds: Speeds, name: str, other: str) -> Estimate:
    """Return how many times faster `name` is than `other`, round by round."""
    return estimate([mine / theirs for mine, theirs in zip(speeds[name], speeds[other], strict=True)])


def useful_flops(options: Options, task: str) -> float:
    """Return the useful floating-point operations per example of the task, forward and backward."""
    from transformers import AutoConfig, AutoTokenizer

    from sec_rl.tasks import load_task

    source = resolve_encoder(options.encoder)
    config, tokenizer = AutoConfig.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    split = load_task(str(options.task_folder(task))).train
    pairs = None if split.pairs is None else list(split.pairs)
    rows = tokenizer(list(split.texts), pairs, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    lengths = np.array([len(row) for row in rows])
    return flops_per_example(config.hidden_size, config.intermediate_size, config.num_hidden_layers, lengths)


def summary(speeds: Speeds, flops: float, precision: Precision) -> str:
    """Return the table: a line per recipe; `precision` is what sec-rl trains in here."""
    lines = []
    for name, label in LABELS.items():
        if name in speeds:
            bf16 = "bf16" in name or (name == "ours" and precision == "bf16")
            peak = float(np.median(speeds["gemm-bf16" if bf16 else "gemm-fp32"]))
            share = 100 * float(np.median(speeds[name])) * flops / peak
            cells = [estimate(speeds[name]).text(1), ratio(speeds, "ours", name).text()]
            lines.append([label, *cells, f"{share:.0f} % of {peak / 1e9:.0f} GFLOP/s ({'bf16' if bf16 else 'fp32'})"])
    return markdown_table(["recipe", "examples/s", "sec-rl is faster by", "share of the GEMM peak"], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, judge and write; returns the exit code (1: a criterion failed)."""
    options = parse_options(
        "throughput", "Training examples per second, interleaved.", tasks=("sst2",), arguments=arguments
    )
    tables, criteria = [], []
    precision = resolve_precision("auto")
    data: dict[str, dict[str, Any]] = {}
    rounds = 0
    for task in options.tasks:
        speeds, flops = interleave(options, task), useful_flops(options, task)
        tables.append(f"## {task}\n\n{summary(speeds, flops, precision)}")
        name = f"{task}: times the examples/s of"
        for other, least in LEAST_RATIO.items():
            if other in speeds:
                criteria.append(Criterion(f"{name} {LABELS[other]}", ratio(speeds, "ours", other), "at least", least))
        rounds = len(speeds["ours"])
        data[task] = {"speeds": speeds, "useful_flops_per_example": flops}
    notes = [
        f"Batches of {BATCH_SIZE}, at most {MAX_LENGTH} tokens, AdamW; each recipe in its own process, in turns.",
        "The GEMM peak is a square product of 2048 in the recipe's format, measured in the same run; useful work"
        " counts the matrix products of real tokens, not of padding.",
    ]
    text = write_results(
        options,
        "Training throughput",
        tables=tables,
        criteria=criteria,
        notes=notes,
        over=f"{rounds} rounds",
        data=data,
    )
    print(text)
    return int(not all(criterion.passed for criterion in criteria))


if __name__ == "__main__":
    exit_with(main)
