"""Learned control on tasks that nothing was learned from: real training, against schedules, per preference.

For each task its family is left out of the recorded episodes; simulator, policy and the schedules that are tuned by
grid are made from the rest. A schedule trains once and is scored under every preference; the policy sees the
preference and trains once for each, and so does an opponent that sees it, too: the best schedule of the grid for each
preference. Accuracy is the int8 artefact's on the test split; latency is timed afterwards.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clock import artefacts_ms
from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.options import Options, parse_options
from benchmarks.paired import by_run, gains
from benchmarks.prepared import Prepared, prepare
from benchmarks.runs import do_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.collect import measure_table
from sec_rl.agents.episode_plan import EpisodeSpec
from sec_rl.agents.shipped import shipped_traces
from sec_rl.envs.utility import utility
from sec_rl.errors import RunFolderError
from sec_rl.files import write_atomically
from sec_rl.values import Metrics, Preference
from sec_rl.workers import Job

PREFERENCES: Mapping[str, Preference] = {
    "balanced": Preference(),
    "fast": Preference(latency_weight=0.03),
    "few labels": Preference(label_weight=0.07),
}
SCHEDULES = ("best fixed", "cubic", "random", "dense")
# Further seeds of some tasks get a table of their own; the ranking reads both.
MORE = "more"
SWITCHES = {MORE: "further seeds of some tasks: written beside the table, for benchmarks.ranking"}
POOL_SIZE, PASSES, N_SEGMENTS = 3000, 4000, 12
POLICY, PER_PREFERENCE = "policy", "best per preference"
# What sees the preference.
PREFERRING = (POLICY, PER_PREFERENCE)


@dataclass(frozen=True)
class Play:
    """One real run: who drives it, on what, for which preference."""

    task: str
    folder: str
    controller: str
    preference: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.task}/{self.controller}-{self.preference}-seed{self.seed}".replace(" ", "_")


def plays(options: Options) -> Iterator[Play]:
    """Return all runs; seeds vary slowest, so that an early stop leaves whole comparisons."""
    for seed in options.seeds:
        for task in options.tasks:
            folder = str(options.task_folder(task))
            for controller in SCHEDULES:
                yield Play(task, folder, controller, "balanced", seed)
            for preference, controller in itertools.product(PREFERENCES, PREFERRING):
                yield Play(task, folder, controller, preference, seed)


def made_with(play: Play, prepared: Prepared, passes: int, threads: int) -> dict[str, Any]:
    """Return what a run follows from beside its name: when it differs, the run is made again."""
    driver = prepared.made_of(play.controller)
    found = {"passes": passes, "encoder": prepared.encoder, "threads": threads, "controller": driver}
    return dict(json.loads(json.dumps(found)))


def finished(play: Play, out: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether a run is there, and was made with what is wanted."""
    path = out / play.name / "figures.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("made_with") == wanted


def do(job: Job, prepared: Mapping[str, Prepared], passes: int, out: Path, threads: int) -> None:
    """Train, export, score, and write `OUT/NAME/figures.json`; the job's argument is a `Play`."""
    from sec_rl.agents.record import play_episode

    play: Play = job.argument
    folder, made = out / play.name, prepared[play.task]
    spec = EpisodeSpec(play.name, play.folder, POOL_SIZE, passes, N_SEGMENTS, play.controller, play.seed)
    controller, initial = made.controller(play.controller, N_SEGMENTS)
    preference = PREFERENCES[play.preference]
    played = play_episode(spec, made.encoder, made.table(), controller, initial, preference, threads=threads)
    closed = played.session.close(folder / "model")
    figures = {
        "made_with": made_with(play, made, passes, threads),
        "metrics": [step.metrics.to_dict() for step in played.steps],
        "closed": {key: value for key, value in closed.items() if key != "fp32"},
        "dense_bytes": played.session.dense_bytes,
        "rollbacks": played.rollbacks,
    }
    write_atomically(folder / "figures.json", json.dumps(figures))


def play_all(options: Options, wanted: Iterable[Play]) -> dict[str, Prepared]:
    """Do the runs that are not done yet; return what was learned without each task's family."""
    measure_table(options.encoder, options.out / "latency_table.json")
    prepared = {task: prepare(task, shipped_traces(), options, say) for task in options.tasks}
    passes, threads = options.passes or PASSES, options.threads_per_run
    missing = [
        play
        for play in wanted
        if not finished(play, options.out, made_with(play, prepared[play.task], passes, threads))
    ]
    work = partial(do, prepared=prepared, passes=passes, out=options.out, threads=threads)
    do_all(options.crew, work, [Job(play.name, play.seed, play) for play in missing], say)
    return prepared


def row(
    play: Play, preference: str, out: Path, dense_accuracy: float, latency: Mapping[str, float]
) -> dict[str, Any]:
    """Return the figures of one run under one preference."""
    figures = json.loads((out / play.name / "figures.json").read_text(encoding="utf-8"))
    closed = figures["closed"]
    last = Metrics(**figures["metrics"][-1])
    final = replace(
        last,
        validation_accuracy=closed["test_accuracy"],
        size_ratio=closed["size_bytes"] / figures["dense_bytes"],
        latency_ratio=latency[play.name] / latency["dense"],
    )
    return {
        **asdict(play),
        "preference": preference,
        "folder": None,
        "utility": utility(final, PREFERENCES[preference], dense_accuracy),
        "test_accuracy": 100 * closed["test_accuracy"],
        "size_ratio": final.size_ratio,
        "latency_ratio": final.latency_ratio,
        "label_fraction": final.label_fraction,
        "compression_ratio": last.compression_ratio,
        "rollbacks": figures["rollbacks"],
    }


def time_runs(options: Options, task: str, seed: int) -> tuple[dict[str, float], float]:
    """Return milliseconds at batch 32 per run of a task and seed, and the worst spread."""
    mine = [play for play in plays(options) if (play.task, play.seed) == (task, seed)]
    files = {play.name: options.out / play.name / "model" / "model.onnx" for play in mine}
    kept = options.out / "latency" / f"{task}-seed{seed}.json"
    times, spread = artefacts_ms(files, options.threads, kept, lambda line: say(f"{task} seed {seed}: {line}"))
    dense = next(play.name for play in mine if play.controller == "dense")
    return times | {"dense": times[dense]}, spread


def rows_of(options: Options) -> tuple[list[dict[str, Any]], float]:
    """Return one row per run and preference, and the worst spread of the clock."""
    rows, spread = [], 0.0
    for seed in options.seeds:
        for task in options.tasks:
            latency, found = time_runs(options, task, seed)
            spread = max(spread, found)
            mine = [play for play in plays(options) if (play.task, play.seed) == (task, seed)]
            dense = next(play for play in mine if play.controller == "dense")
            text = (options.out / dense.name / "figures.json").read_text(encoding="utf-8")
            accuracy = json.loads(text)["closed"]["test_accuracy"]
            for play in mine:
                scored = [play.preference] if play.controller in PREFERRING else list(PREFERENCES)
                rows += [row(play, preference, options.out, accuracy, latency) for preference in scored]
    return rows, spread


def real_rows(results: Path, *, more: bool = True) -> list[dict[str, Any]]:
    """Return the rows that were written, those of further seeds included where there are any.

    Args:
        results: folder of the pages.
        more: False: leave further seeds out.

    Raises:
        RunFolderError: there are none.
    """
    first, further = results / "left_out.json", results / f"left_out-{MORE}.json"
    if not first.is_file():
        raise RunFolderError(f"{str(first)!r} is missing; run benchmarks.left_out first.")
    files = [first, further] if more and further.is_file() else [first]
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))["rows"]]


def judge(rows: Sequence[dict[str, Any]]) -> list[Criterion]:
    """Return the policy's paired gain in utility over each opponent, a value per task and seed."""
    return [
        Criterion(
            f"utility of the policy minus {opponent}",
            estimate(by_run(gains(rows, POLICY, opponent, key="controller"))),
            "at least",
            0.0,
        )
        for opponent in (PER_PREFERENCE, *SCHEDULES)
    ]


def summary(rows: Sequence[dict[str, Any]], tasks: Sequence[str]) -> str:
    """Return the table: a line per task, preference and controller."""
    header = ["run", "utility", "test accuracy, %", "bytes / fp32", "latency / dense int8", "labels bought"]
    columns = [("utility", 4), ("test_accuracy", 1), ("size_ratio", 3), ("latency_ratio", 2), ("label_fraction", 2)]
    lines = []
    for task in tasks:
        for preference in PREFERENCES:
            for controller in (*PREFERRING, *SCHEDULES):
                key = (task, preference, controller)
                mine = [r for r in rows if (r["task"], r["preference"], r["controller"]) == key]
                cells = [estimate([r[name] for r in mine]).text(digits) for name, digits in columns]
                lines.append([f"{task}, {preference}: {controller}", *cells])
    return markdown_table(header, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, run, time, judge and write; returns the exit code (1: a criterion failed)."""
    options = parse_options(
        "left_out",
        "Learned control on left-out tasks, in real training.",
        tasks=("sst2", "trec6", "mrpc"),
        switches=SWITCHES,
        arguments=arguments,
    )
    more = MORE in options.switches
    if more:
        options = replace(options, name=f"{options.name}-{MORE}")
    play_all(options, plays(options))
    rows, spread = rows_of(options)
    criteria = judge(rows)
    notes = [
        f"A run: {POOL_SIZE} texts in the pool, {options.passes or PASSES} example passes with two classes (more "
        f"with more, see `budget_for`), {N_SEGMENTS} segments; "
        "the family of the task was left out of episodes, simulator, policy and the grid.",
        f"Latency: batch 32, 32 tokens, against dense int8; worst spread of block medians {spread:.2f}.",
        "Utility counts accuracy from the dense run of the same task and seed.",
    ]
    if more:
        together = judge([*real_rows(options.results, more=False), *rows])
        ahead = "; ".join(f"{each.name} {each.estimate.text(3)}" for each in together)
        notes.append(
            f"Together with the runs of `benchmarks.left_out`, each task and seed weighing the same: {ahead}."
        )
    table = summary(rows, options.tasks)
    over = "seeds in the table, tasks and seeds in the criteria"
    write_results(
        options,
        "Learned control on left-out tasks",
        tables=[table],
        criteria=criteria,
        notes=notes,
        over=over,
        data={"rows": rows},
    )
    return verdict(table, criteria)


if __name__ == "__main__":
    exit_with(main)
