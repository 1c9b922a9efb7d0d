"""One controlled run from configuration to result."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sec_rl.agents.artefact_latency import measure_artefact
from sec_rl.agents.configured import OnTask, configured_controller, configured_task
from sec_rl.agents.controllers import Controller
from sec_rl.agents.episode import run_episode, trajectory_line
from sec_rl.agents.latency_scale import rounds_each, scale_latency
from sec_rl.agents.reference import check_same, dense_side, read_reference
from sec_rl.agents.run_state import CHECKPOINTS, Saver, check_config, drop_states, how_to_go_on, saved_state
from sec_rl.agents.targets_report import aimed, check_reach, quiet_notes, targets_report
from sec_rl.agents.timed_again import time_again
from sec_rl.backends.bert import BertSession
from sec_rl.classifier import read_label_names, reads_pairs
from sec_rl.compression.cost_table import CostTable
from sec_rl.config import RunConfig
from sec_rl.envs.action import Limits
from sec_rl.envs.drive import Drive, Step
from sec_rl.envs.session import OpenedSession
from sec_rl.errors import InputError
from sec_rl.files import append_line
from sec_rl.launched import launched
from sec_rl.measurement.latency import LatencySettings
from sec_rl.measurement.machine import describe_machine
from sec_rl.measurement.ratio import QuietTimes
from sec_rl.report.model_card import write_model_card
from sec_rl.report.run_page import REPORT, write_report
from sec_rl.run_folder import (
    CONFIG,
    RESULT,
    TRAJECTORY,
    make_run_folder,
    open_run_folder,
    read_result,
    rewind_lines,
    write_config,
    write_result,
)
from sec_rl.tasks import Task
from sec_rl.training.replicas import Replicas
from sec_rl.values import Metrics, Preference

# What a state holds besides session and drive.
_ABOUT = ("table", "quiet_ms", "before", "timing_seconds")


@dataclass(frozen=True)
class _Told:
    """What the first process tells at the start: the state and the settings to go on with, or that all is done."""

    saved: dict[str, Any] | None = None
    resolved: dict[str, Any] | None = None
    result: dict[str, Any] | None = None


OnSegment = Callable[[Metrics, dict[str, Any]], None]


@dataclass(frozen=True)
class _OpenRun:
    """A run that is ready for its first segment, or for the one after an interruption.

    Attributes:
        config: as the user gave it.
        task: checked rows.
        reference: result of the dense run that accuracy is compared with, if one is named.
        controller: what drives it.
        session: opened, `drive`: over it.
        about: what every saved state holds besides both, see `_ABOUT`; `before`: seconds before the first segment, by
            part.
        resumed: the state to go on from; None: the run is new.
        machine: what it runs on.
    """

    config: RunConfig
    task: Task
    reference: dict[str, Any] | None
    controller: Controller
    session: BertSession
    drive: Drive
    about: dict[str, Any]
    resumed: dict[str, Any] | None
    machine: dict[str, Any]


def run(
    config: RunConfig,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    on_task: OnTask | None = None,
    on_segment: OnSegment | None = None,
) -> dict[str, Any]:
    """Train under a schedule or a policy, export, and measure what was exported.

    The loop is `sec_rl.agents.episode.run_episode`; this opens the session before it, and after it writes the
    artefact, measures IT (test accuracy once, bytes on disk, latency) and completes the run folder.

    Several processes that `torchrun` or `accelerate launch` started with the same arguments train one model together;
    the first one writes, and calls `on_task` and `on_segment`.

    Args:
        config: the run.
        out: run folder to create.
        overwrite: replace an earlier run in `out`.
        resume: go on with an interrupted run in `out`: the same trajectory and weights, bit for bit on one machine,
            as if it had never stopped. A finished run is returned as it is.
        on_task: called with the checked task before anything is trained.
        on_segment: called with the metrics and the structure after opening and after each segment.

    Returns:
        what `result.json` holds.

    Raises:
        InputError: something that was given cannot be used; no folder is left behind.
        RunFolderError: `out` is taken, or holds nothing to resume.
        RunInterruptedError: Ctrl-C or SIGTERM came after the folder was made.
        DiskError: the disk is full; the run goes on with `resume` when there is room.
        OutOfMemoryError: memory ran out; the run goes on with `resume` where there is more.
        TrainingDivergedError: it diverged again and again; the folder says so.
        ReplicaLostError: another process that trained along is gone; the run goes on with `resume`.

    Examples:
        >>> from sec_rl import RunConfig, run
        >>> config = RunConfig(task="movie-reviews", schedule="cubic", compression_ratio=0.5)
        >>> result = run(config, "runs/cubic")
        >>> result["source"], 0.0 <= result["test_accuracy"] <= 1.0
        ('measured', True)
        >>> result["size_bytes"] < result["dense"]["size_bytes"]
        True
    """
    if config.dense_reference == "train" and launched().count > 1:
        raise InputError(
            "dense_reference 'train' is a second run, which several processes cannot train beside the first; train "
            "it before, and name its folder."
        )
    with Replicas.meet() as replicas:
        if replicas.first:
            return _write_run(config, Path(out), overwrite, resume, on_task, on_segment, replicas)
        return _train_along(config, replicas)


def _write_run(
    config: RunConfig,
    out: Path,
    overwrite: bool,
    resume: bool,
    on_task: OnTask | None,
    on_segment: OnSegment | None,
    replicas: Replicas,
    ending: Callable[[Path, Drive], AbstractContextManager[None]] = how_to_go_on,
) -> dict[str, Any]:
    """Do the run, and tell the processes that train along what they need: a state to go on from, and the result.

    `ending` is what a run that ends early goes through: it says how to go on, or is somebody else's matter.
    """
    with open_run_folder(out, overwrite=overwrite, resume=resume) as folder:
        resolved = check_config(folder, config) if resume else None
        if resolved is not None and (folder / RESULT).exists():
            finished = _finished(folder)
            replicas.broadcast(_Told(result=finished))
            return finished
        saved = saved_state(folder) if resume else None
        replicas.broadcast(_Told(saved, resolved))
        opened = _open(config, saved, resolved, on_task, replicas)
        make_run_folder(folder, keep=saved is not None)
        if resolved is None or saved is None:
            known = {
                "passes": opened.session.budget,
                "precision": opened.session.precision,
                "processes": replicas.count,
            }
            write_config(folder, config.model_dump() | {"resolved": known | {"machine": opened.machine}})
        else:
            _restore(opened, saved, folder, resolved)
        with ending(folder, opened.drive):
            seconds = _loop(opened, folder, on_segment)
            write_result(folder, _close(opened, folder, seconds))
            return replicas.broadcast(_finished(folder))


def _train_along(config: RunConfig, replicas: Replicas) -> dict[str, Any]:
    """Take every step that the first process takes, write nothing, and return the result that it tells at the end."""
    told: _Told = replicas.broadcast(None)
    if told.result is not None:
        return told.result
    opened = _open(config, told.saved, told.resolved, None, replicas)
    if told.saved is not None:
        opened.session.resume(told.saved["session"])
        opened.drive.restore(told.saved["drive"])
    run_episode(opened.drive, opened.controller, seed=config.seed, on_step=lambda step: _time_again(opened, step))
    result: dict[str, Any] = replicas.broadcast(None)
    return result


def _train_reference(config: RunConfig, folder: Path, replicas: Replicas) -> dict[str, Any]:
    """Return the result of the dense run beside a run; what ends it early ends the run, which says how both go on."""
    dense = {"schedule": "dense", "policy": None, "dense_reference": "none", "data_ratio": 1.0}
    config = config.model_copy(update={**dense, "preference": Preference()})
    resumes = (folder / CONFIG).exists()
    return _write_run(config, folder, not resumes, resumes, None, None, replicas, lambda *_: nullcontext())


def _finished(folder: Path) -> dict[str, Any]:
    """Return the result of a finished run, whose pages are written where a killed process has not."""
    if (folder / CHECKPOINTS).exists() or not (folder / REPORT).exists():
        write_model_card(folder, read_label_names(folder / "model"), pairs=reads_pairs(folder / "model"))
        write_report(folder)
        drop_states(folder)
    return read_result(folder)


def _open(
    config: RunConfig,
    saved: dict[str, Any] | None,
    resolved: dict[str, Any] | None,
    on_task: OnTask | None,
    replicas: Replicas,
) -> _OpenRun:
    """Open the session of a run; of one that is resumed, with the table and the settings it had."""
    started = time.perf_counter()
    task = configured_task(config, on_task)
    reference = read_reference(config)
    controller, initial = configured_controller(config)
    session = BertSession(config, task, replicas=replicas)
    if saved is not None and resolved is not None:
        # What `auto` chose then, and the number of threads, decide the last bits.
        settings = {"precision": resolved["precision"], "threads": resolved["machine"]["threads"]}
        session = BertSession(config.model_copy(update=settings), task, CostTable.from_dict(saved["table"]), replicas)
    metrics = session.open()
    if reference is not None:
        check_same(reference, session)
    wanted = aimed(config.preference)
    limits = Limits(data_min=Limits().data_min * config.data_ratio, data_max=config.data_ratio)
    if saved is None:
        about: dict[str, Any] = {
            "table": session.pruning.table.to_dict(),
            "quiet_ms": None,
            "timing_seconds": session.timing_seconds,
        }
        if wanted.target_speedup is not None:
            timing = time.perf_counter()
            # What is beyond reach is refused by the clock, not by a line drawn on from wider models.
            about["quiet_ms"] = asdict(_scaled(session, config, ratio=limits.compression_max))
            about["timing_seconds"] += time.perf_counter() - timing
    else:
        about = {name: saved[name] for name in _ABOUT}
    accuracy = metrics.validation_accuracy if reference is None else reference["validation_accuracy"]
    # Without a target for speed nobody needs to know what the format alone gives.
    gain = 1.0 if about["quiet_ms"] is None else QuietTimes(**about["quiet_ms"]).speedup
    opened = OpenedSession(session, metrics, accuracy, gain)
    if saved is None:
        check_reach(opened, config.preference, limits.compression_max)
        known = {"validation": session.validation_seconds, "timing": about["timing_seconds"]}
        about["before"] = known | {"opening": time.perf_counter() - started - sum(known.values())}
    drive = Drive(opened, preference=wanted, limits=limits, levers=config.levers, initial=initial)
    machine = describe_machine(session.threads)
    return _OpenRun(config, task, reference, controller, session, drive, about, saved, machine)


def _time_again(opened: _OpenRun, step: Step) -> None:
    """Time the machine again where a speed-up is asked for and it is due, and keep what was found for a state."""
    if opened.about["quiet_ms"] is None:
        return
    started = time.perf_counter()
    known = QuietTimes(**opened.about["quiet_ms"])
    found = time_again(opened.drive, step.metrics, known, partial(_scaled, opened.session, opened.config))
    opened.about["quiet_ms"] = asdict(found)
    opened.about["timing_seconds"] += time.perf_counter() - started


def _scaled(session: BertSession, config: RunConfig, **how: Any) -> QuietTimes:
    """Return what the dense model takes in both formats, and leave the table fitted; the first process measures."""

    def measure() -> tuple[QuietTimes, CostTable]:
        times = scale_latency(
            session,
            session.source,
            threads=session.threads,
            length=config.latency_sequence_length,
            rounds=rounds_each(config.latency_rounds),
            **how,
        )
        return times, session.pruning.table

    times, session.pruning.table = session.replicas.from_first(measure)
    return times


def _restore(opened: _OpenRun, saved: dict[str, Any], folder: Path, resolved: dict[str, Any]) -> None:
    """Bring session, drive and trajectory to a saved state; `resolved` is what the run found when it started."""
    opened.session.resume(saved["session"])
    opened.drive.restore(saved["drive"])
    segment = opened.drive.history[-1].segment
    rewind_lines(folder / TRAJECTORY, "segment", segment)
    opened.session.notes.append(f"The run was interrupted and resumed after segment {segment}.")
    if opened.machine != resolved["machine"]:
        opened.session.notes.append("It was resumed on another machine, or with other versions of its libraries.")
    if opened.session.replicas.count != resolved.get("processes", 1):
        opened.session.notes.append("It was resumed with another number of processes.")


def _loop(opened: _OpenRun, folder: Path, on_segment: OnSegment | None) -> dict[str, float]:
    """Drive the session to its end, writing the trajectory and saving as it goes; return what took how long."""
    session, drive = opened.session, opened.drive
    saver = Saver(folder, opened.about)
    started = time.perf_counter() - (0.0 if opened.resumed is None else opened.resumed["loop_seconds"])

    def record(step: Step) -> None:
        append_line(
            folder / TRAJECTORY, trajectory_line(step) | {"setbacks": session.setbacks.of(step.metrics.segment)}
        )
        if on_segment is not None:
            on_segment(step.metrics, step.structure)
        _time_again(opened, step)
        if step.metrics.segment:
            saver.after_segment(session, drive, time.perf_counter() - started - saver.seconds)

    run_episode(drive, opened.controller, seed=opened.config.seed, on_step=record)
    loop_seconds = time.perf_counter() - started - saver.seconds
    known = {
        "training": session.train_seconds,
        # Which labels to buy, which structures to remove; a copy of the weights to go back to.
        "preparing": session.preparing_seconds,
        "validation": session.validation_seconds,
        "timing": opened.about["timing_seconds"],
    }
    before = opened.about["before"]
    return {
        "opening": before["opening"],
        **known,
        # Whatever else the loop did: observations, the controller, bookkeeping.
        "control": loop_seconds - sum(seconds - before.get(part, 0.0) for part, seconds in known.items()),
        "saving": saver.seconds,
    }


def _close(opened: _OpenRun, folder: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """Write the artefact, measure it, and return what `result.json` holds."""
    config, session, task, reference = opened.config, opened.session, opened.task, opened.reference
    started = time.perf_counter()
    if session.replicas.count > 1:
        session.notes.append(f"{session.replicas.count} processes trained the model together.")
    accuracy = opened.drive.history[-1].validation_accuracy
    closed = session.close(folder / "model")
    settings = LatencySettings(
        threads=session.threads,
        sequence_length=config.latency_sequence_length,
        rounds=config.latency_rounds,
        max_rounds=2 * config.latency_rounds,
    )
    clock = measure_artefact(folder, session.source, task.n_classes, settings)
    closing_seconds = time.perf_counter() - started
    if config.dense_reference == "train":
        reference = _train_reference(config, folder / "dense-reference", session.replicas)
    predicted = closed["predicted_latency_ms"]
    result = {
        "source": "measured",
        "task": config.task,
        "task_fingerprint": task.fingerprint,
        "encoder": config.encoder,
        "warm_start": config.transfer.warm_start,
        "schedule": config.schedule,
        "policy": config.policy,
        "preference": asdict(config.preference),
        "seed": config.seed,
        "budget": session.budget,
        "test_rows": len(task.test),
        **closed,
        "rollbacks": opened.drive.rollbacks,
        "setbacks": session.setbacks.state(),
        "latency_ms": clock.artefact,
        "latency_quantiles_ms": clock.quantiles,
        "quiet_latency_ms": opened.about["quiet_ms"],
        "latency_table_error": None if predicted is None else predicted / clock.artefact["batch32"]["p50"] - 1.0,
        "latency_settings": asdict(settings) | {"spread": clock.spread},
        "machine": opened.machine,
        "notes": [*task.notes, *session.notes, *session.setbacks.notes()],
        "seconds": seconds | {"closing": closing_seconds},
        "dense": dense_side(session, reference, clock.dense),
    }
    result["notes"] += quiet_notes(config.preference, result)
    result["targets"] = targets_report(
        config.preference,
        result,
        accuracy=accuracy if reference is None else closed["validation_accuracy"],
        reference_accuracy=session.teacher_accuracy if reference is None else reference["validation_accuracy"],
    )
    return result
