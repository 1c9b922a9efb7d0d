"""The experiment that this project comes from, on real training: every arm fills every column.

All arms of a task and seed train with the same passes. Accuracy, perplexity and size are of what the arm deploys
(fp32 weights, or the int8 file); latency is timed afterwards, when nothing else runs, all arms of a task and seed
against each other. Training cost is the time until validation first shows the accuracy that the baseline ends with.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.clock import quiet_ms, worst_spread
from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import estimate
from benchmarks.options import Options, parse_options
from benchmarks.paper_arms import (
    ALL_ARMS,
    BASELINE,
    DATA_ARMS,
    SEC,
    SEQUENTIAL,
    best_data_arm,
    run_name,
    sequential_specs,
    specs,
)
from benchmarks.paper_figures import write_figures
from benchmarks.paper_rows import arm_rows, curves, json_ready, judge, row, time_task
from benchmarks.runs import read_result, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.measurement.machine import describe_machine

PASSES = 10_000
# The first one's files carry the benchmark's name alone.
TASKS = ("sst2", "trec6", "mrpc")
# Hours, MB, milliseconds a batch, accuracy in %, perplexity; BERT-base, as printed.
PAPER: Mapping[str, tuple[str, ...]] = {
    "baseline": ("48", "420", "150", "84.5", "9.8"),
    "augmentation": ("43", "", "", "86.3", "9.4"),
    "transfer": ("39", "", "", "87.1", "9.2"),
    "active": ("36", "", "", "85.6", "9.5"),
    "semi-supervised": ("37", "", "", "86.0", "9.3"),
    "pruning": ("", "364", "130", "83.5", "10.1"),
    "quantization": ("", "150", "90", "82.8", "10.5"),
    "distillation": ("", "201", "110", "85.0", "9.9"),
    "sec": ("", "136", "80", "86.2", "9.3"),
}


def summary(entries: Sequence[dict[str, Any]]) -> str:
    """Return our table: a line per arm."""
    header = [
        "arm",
        "to baseline's accuracy, s",
        "training, s",
        "MB",
        "ms a batch",
        "accuracy, %",
        "p",
        "validation, %",
        "perplexity",
        "labels",
    ]
    lines = []
    for entry in entries:
        reached, p = entry["seconds_to_baseline"], entry["paired_t_test_p"]
        lines.append(
            [
                entry["arm"],
                "not reached" if reached is None else reached.text(0),
                entry["train_seconds"].text(0),
                entry["size_bytes"].times(1e-6).text(1),
                entry["latency_ms"].text(1),
                entry["accuracy"].times(100.0).text(2),
                "" if p is None else f"{p:.2f}",
                entry["validation_accuracy"].times(100.0).text(2),
                "" if entry["perplexity"] is None else entry["perplexity"].text(2),
                entry["label_fraction"].text(2),
            ]
        )
    return markdown_table(header, lines)


def paper_table(entries: Sequence[dict[str, Any]]) -> str:
    """Return the paper's figures beside ours, both relative to their own baseline where that is what counts."""
    ours = {entry["arm"]: entry for entry in entries}
    header = ["arm", "size: paper", "size: here", "latency: paper", "latency: here"]
    header += ["accuracy gain: paper", "accuracy gain: here", "perplexity: paper", "perplexity: here"]
    base, lines = PAPER[BASELINE], []
    for name, (_, size, latency, accuracy, perplexity) in PAPER.items():
        mine = ours[name]
        lines.append(
            [
                name,
                f"{float(size) / float(base[1]):.3f}" if size else "",
                f"{mine['size_bytes'].mean / ours[BASELINE]['size_bytes'].mean:.3f}",
                f"{float(latency) / float(base[2]):.3f}" if latency else "",
                f"{mine['latency_ms'].mean / ours[BASELINE]['latency_ms'].mean:.3f}",
                f"{float(accuracy) - float(base[3]):+.1f}",
                f"{100.0 * mine['accuracy_gain'].mean:+.2f}",
                perplexity,
                f"{mine['perplexity'].mean:.2f}",
            ]
        )
    return markdown_table(header, lines)


def reproduce(options: Options, task: str) -> int:
    """Run, time, judge and write one task; returns the exit code (1: a criterion failed)."""
    passes = options.passes or PASSES
    run_all(specs(options, task, passes), options.out, say, crew=options.crew)
    validation = {
        name: [read_result(options.out / run_name(task, name, seed))["validation_accuracy"] for seed in options.seeds]
        for name in DATA_ARMS
    }
    best = best_data_arm(validation)
    for stage in sequential_specs(options, task, passes, best):
        run_all(stage, options.out, say, crew=options.crew)
    latencies = {seed: time_task(options, task, seed, say) for seed in options.seeds}
    rows = [row(options, task, name, seed, latencies[seed]) for name in ALL_ARMS for seed in options.seeds]
    entries, criteria = arm_rows(rows), judge(rows)
    spread = max(worst_spread(found) for found in latencies.values())
    quiet = {
        name: estimate([quiet_ms(found, name, 32) / quiet_ms(found, BASELINE, 32) for found in latencies.values()])
        for name in (SEC, SEQUENTIAL, "quantization")
    }
    notes = [
        f"{passes:,} example passes for every arm; the sequence spends half of them on its data technique "
        f"({best}, the best by validation) and half on compression.",
        f"Batches of 32 texts of 32 tokens, {options.threads} threads; worst spread of block medians {spread:.2f}.",
        "In the machine's quiet moments (5th percentiles), by which a speed-up is steered, latency over the "
        "baseline's is "
        + ", ".join(f"{value.text(3)} of {name}" for name, value in quiet.items())
        + "; where virtual cores share a physical one, int8 loses more than fp32 does, and medians say so.",
        "Seconds are of training steps and of choosing labels, guessing them and choosing structures (those to the "
        "baseline's accuracy of steps alone), "
        + (f"{options.workers} runs side by side." if options.workers > 1 else "one run at a time."),
        "The sequence has no perplexity: the head that it is read by is not exported and starts anew with the second "
        "stage.",
        "p: paired t-test of accuracy against the baseline over the seeds; three of them show large effects only.",
        "Validation: all of its texts, after the last pass. No arm chooses its weights by it (the sequence chooses a "
        "data technique, and the policy sees 300 of them as it goes), so it is a second sample of what an arm loses.",
        "The paper: BERT-base, one figure each, no interval; ours beside it are relative to our own baseline.",
        *(f"{name}: {arm.technique}." for name, arm in ALL_ARMS.items()),
    ]
    named = replace(options, name=options.name if task == TASKS[0] else f"{options.name}-{task}", tasks=(task,))
    data = {
        "rows": [json_ready(entry) for entry in entries],
        "runs": rows,
        "versions": describe_machine(options.threads)["versions"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    picture = f"![accuracy per epoch]({named.name}.png)"
    tables = [summary(entries), paper_table(entries), picture]
    write_results(named, f"The paper's tables, {task}", tables=tables, criteria=criteria, notes=notes, data=data)
    write_figures(curves(options, task), task, options.results / named.name, options.command, notes[:1])
    return verdict(tables[0], criteria)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reproduce every task; returns the exit code (1: a criterion failed)."""
    options = parse_options("paper_tables", "The paper's arms, really trained.", tasks=TASKS, arguments=arguments)
    return max([reproduce(options, task) for task in options.tasks])


if __name__ == "__main__":
    exit_with(main)
