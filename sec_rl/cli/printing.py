"""What a person reads on the terminal; plain lines when there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table

from sec_rl.cli.bar import Bar
from sec_rl.report.cells import clock_doubt, parity, target_rows
from sec_rl.report.differences import differences
from sec_rl.values import Metrics

if TYPE_CHECKING:
    import pandas as pd

    from sec_rl.agents.collect import Recorded
    from sec_rl.agents.dry_run import DryRun
    from sec_rl.agents.training_folder import Progress
    from sec_rl.tasks import Task

PLAIN_WIDTH = 140


class _JobPrinter:
    """Prints lines while a long job goes on, on a terminal above a bar; leaving it takes the bar away.

    Args:
        level: what the job is, such as `training`.
        unit: what is counted, in the plural.
        quiet: print nothing.
    """

    def __init__(self, level: str, unit: str, *, quiet: bool) -> None:
        self._console = _console(quiet=quiet)
        self._bar = Bar(self._console, level, unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.hide()


class RunPrinter(_JobPrinter):
    """Prints one line per segment, with the time that is left, and a closing table."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("training", "segments", quiet=quiet)
        self._first: tuple[int, float] | None = None

    def task(self, task: Task) -> None:
        """Print what there is to learn from, and what was told and repaired."""
        self._console.print(
            f"task {task.name}: {task.n_classes} classes, {len(task.train):,} rows to train on, "
            f"{len(task.validation):,} to validate and {len(task.test):,} to test",
            markup=False,
        )
        for note in task.notes:
            self._console.print(f"  {note}", markup=False)
        self._console.print("opening: loading the encoder, timing this machine's blocks")

    def dry_run(self, found: DryRun) -> None:
        """Print what a run would take."""
        minutes = (found.train_seconds + found.validation_seconds) / 60.0
        threads = "1 thread" if found.threads == 1 else f"{found.threads} threads"
        self._console.print(
            f"{found.passes:,} example passes in {found.segments} segments, {found.steps:,} steps\n"
            f"about {minutes:.1f} min on {threads}, {found.train_seconds / 60.0:.1f} of them training "
            "at the dense encoder's speed; then export and the clock, about half a minute\n"
            f"up to {found.disk_bytes / 1e6:.0f} MB on disk while it trains, {found.kept_bytes / 1e6:.0f} MB or less "
            "afterwards\ndry run: nothing was written"
        )

    def segment(self, metrics: Metrics, _structure: Mapping[str, Any]) -> None:
        """Print where a run stands."""
        left = self._seconds_left(metrics)
        if metrics.segment == 0:
            self._console.print(f"opened: validation accuracy {metrics.validation_accuracy:.1%} before training")
            self._bar.show(0, metrics.n_segments, None)
            return
        self._console.print(
            f"segment {metrics.segment:>2}/{metrics.n_segments}  data {metrics.data_ratio:4.0%}  "
            f"removed {metrics.compression_ratio:4.0%}  accuracy {metrics.validation_accuracy:.1%}  "
            f"size {metrics.size_ratio:.3f}  time {metrics.latency_ratio:.2f} of dense int8  {left:.0f} s left"
        )
        self._bar.show(metrics.segment, metrics.n_segments, left)
        if metrics.segment == metrics.n_segments:
            self._console.print("closing: exporting int8, scoring the test split, timing both models: half a minute")

    def result(self, folder: Path, result: Mapping[str, Any]) -> None:
        """Print the table against the dense model."""
        print_comparison({str(folder): result}, self._console)
        said = parity(result)
        if said is not None:
            self._console.print(said)
        for target, asked, reached, met in target_rows(result):
            self._console.print(f"{target}: asked {asked}, reached {reached}: {met}")

    def _seconds_left(self, metrics: Metrics) -> float:
        """Estimate the time to the last segment from what this process has seen, else from the run's own clock."""
        now = time.monotonic()
        if self._first is None:
            self._first = metrics.segment, now
        segment, start = self._first
        # A resumed run begins somewhere in the middle.
        here = metrics.segment - segment
        pace = (now - start) / here if here else metrics.seconds / max(metrics.segment, 1)
        return pace * (metrics.n_segments - metrics.segment)


class CollectionPrinter(_JobPrinter):
    """Prints one line per recorded episode, with the time that is left."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("recording", "episodes", quiet=quiet)

    def episode(self, recorded: Recorded) -> None:
        """Print a finished episode."""
        self._console.print(
            f"episode {recorded.done:>3}/{recorded.total}  {recorded.name:<28}  accuracy {recorded.accuracy:.1%}  "
            f"{recorded.seconds_left / 60:.0f} min left"
        )
        self._bar.show(recorded.done, recorded.total, recorded.seconds_left)

    def done(self, out: Path, table: pd.DataFrame) -> None:
        """Print what the folder holds now."""
        episodes = table.drop_duplicates("episode")
        self._console.print(
            f"{len(episodes)} episodes on {episodes['task'].nunique()} tasks, {len(table)} rows: "
            f"{out / 'episodes.parquet'}",
            markup=False,
        )


class TrainingPrinter(_JobPrinter):
    """Prints one line per evaluation, with the time that is left."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("learning", "steps", quiet=quiet)

    def progress(self, progress: Progress) -> None:
        """Print how good the policy is by now."""
        left = "" if progress.seconds_left is None else f"  {progress.seconds_left:.0f} s left"
        self._console.print(
            f"{progress.steps:>9,}/{progress.total_steps:,} steps  {progress.steps_per_second:>7,.0f}/s  "
            f"return {progress.mean_return:.4f}  ahead of the best fixed schedule by {progress.difference:+.4f} "
            f"[{progress.low:+.4f}, {progress.high:+.4f}]{left}"
        )
        self._bar.show(progress.steps, progress.total_steps, progress.seconds_left)

    def done(self, out: Path, scores: Mapping[str, Any]) -> None:
        """Print the final scores."""
        rivals = {
            "best_fixed": "the best fixed schedule",
            "best_preferred": "the schedule per preference",
            "responsive": "the same with labels by what a run shows, which it started from",
            "cubic": "cubic to one half",
        }
        for name, words in rivals.items():
            ahead = scores[f"ahead_of_{name}"]
            self._console.print(
                f"against {words}: {ahead['mean']:+.4f} [{ahead['low']:+.4f}, {ahead['high']:+.4f}] "
                f"in {scores['episodes']} simulated episodes"
            )
        self._console.print(f"policy: {out}", markup=False)


class CalibrationPrinter:
    """Prints how the fit goes, and what it is worth on tasks it never saw."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = _console(quiet=quiet)

    def line(self, text: str) -> None:
        """Print a line of progress."""
        self._console.print(text, markup=False)

    def report(self, out: Path, report: Mapping[str, Any]) -> None:
        """Print the errors on left-out tasks."""
        table = Table("family left out", "episodes", "final error, points", "per segment, points", "rank correlation")
        for family, scores in report["left_out"].items():
            table.add_row(
                family,
                str(scores["episodes"]),
                f"{scores['final_error_points']:.2f}",
                f"{scores['segment_error_points']:.2f}",
                # Of two episodes there is none.
                "-" if scores["rank_correlation"] is None else f"{scores['rank_correlation']:.2f}",
            )
        self._console.print(table)
        self._console.print(f"simulator: {out}", markup=False)


def print_comparison(results: Mapping[str, Mapping[str, Any]], console: Console | None = None) -> None:
    """Print runs as rows, the dense fp32 model of the first one on top."""
    console = console or _console()
    table = Table("run", "test accuracy", "labels", "size MB", "batch 1 ms", "batch 32 ms", "size ratio", "speedup")
    dense = next(iter(results.values()))["dense"]
    table.add_row("dense fp32 (PyTorch)", *_cells(dense, dense))
    for name, result in results.items():
        table.add_row(name, *_cells(result, result["dense"]))
    console.print(table)
    for name, result in results.items():
        doubt = clock_doubt(result)
        if doubt is not None:
            console.print(f"{name}: {doubt}", markup=False)
    for line in differences(results):
        console.print(line, markup=False)


def print_tasks(*, names_only: bool) -> None:
    """Print the packaged tasks."""
    from sec_rl.tasks import packaged_tasks

    if names_only:
        for info in packaged_tasks():
            print(info.name)
        return
    table = Table("task", "what it is", "rows", "classes", "source")
    for info in packaged_tasks():
        table.add_row(info.name, info.description, str(info.rows), str(info.classes), info.source)
    _console().print(table)


def print_measurement(path: Path, measured: Mapping[str, Any]) -> None:
    """Print a repeated measurement."""
    table = Table("batch", "artefact p50 ms", "dense p50 ms", "speedup")
    for batch, latency in measured["latency_ms"].items():
        dense = measured["dense"]["latency_ms"][batch]["p50"]
        table.add_row(batch, f"{latency['p50']:.2f}", f"{dense:.2f}", f"{dense / latency['p50']:.2f}")
    console = _console()
    console.print(table)
    console.print(f"spread {measured['latency_settings']['spread']}; written to {path}")


def _console(*, quiet: bool = False) -> Console:
    # A file or a pipe has no width, and 80 columns cut the names of runs.
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(quiet=quiet, highlight=False, soft_wrap=True, width=width)


def _cells(values: Mapping[str, Any], dense: Mapping[str, Any]) -> list[str]:
    accuracy, labels = values["test_accuracy"], values["label_fraction"]
    latency, dense_latency = values["latency_ms"], dense["latency_ms"]
    return [
        "not trained" if accuracy is None else f"{accuracy:.2%}",
        "-" if labels is None else f"{labels:.0%}",
        f"{values['size_bytes'] / 1e6:.2f}",
        f"{latency['batch1']['p50']:.2f}",
        f"{latency['batch32']['p50']:.2f}",
        f"{values['size_bytes'] / dense['size_bytes']:.3f}",
        f"{dense_latency['batch32']['p50'] / latency['batch32']['p50']:.2f}x",
    ]
