"""One controlled run from configuration to result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sec_rl.agents.controllers import Controller, ScheduleController
from sec_rl.agents.episode import run_episode, trajectory_line
from sec_rl.agents.latency_scale import scale_latency
from sec_rl.agents.policy import load_policy
from sec_rl.agents.schedules import Schedule
from sec_rl.agents.shipped import shipped_policy
from sec_rl.agents.targets_report import aimed, check_reach, targets_report
from sec_rl.backends.bert import BertSession
from sec_rl.config import RunConfig
from sec_rl.envs.action import Limits
from sec_rl.envs.drive import INITIAL, Drive, Step
from sec_rl.envs.session import OpenedSession
from sec_rl.errors import InputError
from sec_rl.measurement.latency import LatencySettings, LatencyTarget, measure_latencies
from sec_rl.measurement.machine import describe_machine
from sec_rl.report.model_card import write_model_card
from sec_rl.report.run_page import write_report
from sec_rl.run_folder import append_line, open_run_folder, read_result, write_config, write_result
from sec_rl.tasks import load_task
from sec_rl.values import Metrics, Preference, Ratios

OnSegment = Callable[[Metrics, dict[str, Any]], None]


def run(
    config: RunConfig, out: Path, *, overwrite: bool = False, on_segment: OnSegment | None = None
) -> dict[str, Any]:
    """Train under a schedule, export, and measure what was exported.

    The loop is `sec_rl.agents.episode.run_episode`; this opens the session before it, and after it writes the
    artefact, measures IT (test accuracy once, bytes on disk, latency) and completes the run folder.

    Args:
        config: the run.
        out: run folder to create.
        overwrite: replace an earlier run in `out`.
        on_segment: called with the metrics and the structure after opening and after each segment.

    Returns:
        what `result.json` holds.

    Raises:
        InputError: something that was given cannot be used; no folder is left behind.
        RunFolderError: `out` is taken.
    """
    started = time.perf_counter()
    task = load_task(config.task, seed=config.seed)
    reference = _reference(config)
    controller, initial = _controller(config)
    session = BertSession(config, task)
    metrics = session.open()
    if reference is not None:
        _check_passes(reference, session)
    threads = session.threads
    wanted = aimed(config.preference)
    opened = OpenedSession(
        session,
        metrics,
        metrics.validation_accuracy if reference is None else reference["validation_accuracy"],
        1.0 if wanted.target_speedup is None else scale_latency(session, rounds=config.latency_rounds),
    )
    limits = Limits(data_min=min(Limits().data_min, initial.data))
    check_reach(opened, wanted, limits.compression_max)
    drive = Drive(opened, preference=wanted, limits=limits, levers=config.levers, initial=initial)
    opening_seconds = time.perf_counter() - started
    with open_run_folder(out, overwrite=overwrite) as folder:
        machine = describe_machine(threads)
        write_config(
            folder,
            config.model_dump()
            | {"resolved": {"passes": session.budget, "precision": session.precision, "machine": machine}},
        )

        def record(step: Step) -> None:
            append_line(folder, trajectory_line(step))
            if on_segment is not None:
                on_segment(step.metrics, step.structure)

        scored, looped = session.scoring_seconds, time.perf_counter()
        run_episode(drive, controller, seed=config.seed, on_step=record)
        loop_seconds = time.perf_counter() - looped
        accuracy = drive.history[-1].validation_accuracy
        closing = time.perf_counter()
        closed = session.close(folder / "model")
        settings = LatencySettings(
            threads=threads,
            sequence_length=config.latency_sequence_length,
            rounds=config.latency_rounds,
            max_rounds=2 * config.latency_rounds,
        )
        latency, dense_latency, spread = measure_artefact(folder, session.source, task.n_classes, settings)
        closing_seconds = time.perf_counter() - closing
        if config.dense_reference == "train":
            dense_config = config.model_copy(
                update={"schedule": "dense", "dense_reference": "none", "preference": Preference(), "data_ratio": 1.0}
            )
            reference = run(dense_config, folder / "dense-reference", overwrite=True)
        predicted = closed["predicted_latency_ms"]
        result = {
            "source": "measured",
            "task": config.task,
            "task_fingerprint": task.fingerprint,
            "encoder": config.encoder,
            "schedule": config.schedule,
            "policy": config.policy,
            "preference": asdict(config.preference),
            "seed": config.seed,
            **closed,
            "rollbacks": drive.rollbacks,
            "latency_ms": latency,
            "latency_table_error": None if predicted is None else predicted / latency["batch32"]["p50"] - 1.0,
            "latency_settings": asdict(settings) | {"spread": spread},
            "machine": machine,
            "notes": [*task.notes, *session.notes],
            "seconds": {
                "opening": opening_seconds,
                "training": session.train_seconds,
                "scoring": session.scoring_seconds - scored,
                # Whatever else the loop did: observations, the controller, bookkeeping.
                "control": loop_seconds - session.train_seconds - (session.scoring_seconds - scored),
                "closing": closing_seconds,
            },
            "dense": _dense(session, reference, dense_latency),
        }
        result["targets"] = targets_report(
            config.preference,
            result,
            accuracy=accuracy if reference is None else closed["validation_accuracy"],
            reference_accuracy=session.teacher_accuracy if reference is None else reference["validation_accuracy"],
        )
        write_result(folder, result)
        write_model_card(folder, task.label_names)
        write_report(folder)
    return result


def _controller(config: RunConfig) -> tuple[Controller, Ratios]:
    """Return what drives a run, and the ratios that its first action starts from."""
    if config.schedule == "policy":
        return load_policy(shipped_policy() if config.policy is None else Path(config.policy)), INITIAL
    if config.policy is not None:
        raise InputError(f"The schedule {config.schedule!r} takes no policy; give --schedule policy or use replay.")
    schedule = Schedule(config.schedule, config.data_ratio, config.compression_ratio, config.seed, config.n_segments)
    controller = ScheduleController(schedule)
    return controller, controller.initial_ratios()


def measure_artefact(
    folder: Path, encoder: str, n_classes: int, settings: LatencySettings
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Time `folder/model/model.onnx` against the dense fp32 encoder.

    Returns:
        latency of the artefact, latency of the dense model, and the spread of each at the largest batch.
    """
    targets = [
        LatencyTarget("artefact", "onnx", str(folder / "model" / "model.onnx")),
        LatencyTarget("dense", "torch", encoder, n_classes),
    ]
    stats = measure_latencies(targets, settings)
    latencies = {
        name: {f"batch{batch}": {"p50": s.p50_ms, "p95": s.p95_ms} for batch, s in by_batch.items()}
        for name, by_batch in stats.items()
    }
    largest = max(settings.batch_sizes)
    spread = {name: by_batch[largest].spread for name, by_batch in stats.items()}
    return latencies["artefact"], latencies["dense"], spread


def _reference(config: RunConfig) -> dict[str, Any] | None:
    """Read the run that accuracy is to be compared with, if one is named."""
    if config.dense_reference in ("none", "train"):
        return None
    result = read_result(Path(config.dense_reference))
    wanted = {"task": config.task, "seed": config.seed, "encoder": config.encoder, "schedule": "dense"}
    for key, value in wanted.items():
        if result.get(key) != value:
            raise InputError(
                f"Dense reference {config.dense_reference!r} has {key} {result.get(key)!r}; this run has {value!r}."
            )
    return result


def _check_passes(reference: dict[str, Any], session: BertSession) -> None:
    """Refuse a reference of another budget, before anything is trained."""
    theirs = reference["example_passes"]
    # The last batch may overshoot the budget, and batches at the end of a pass are smaller.
    if abs(theirs - session.budget) > session.config.batch_size:
        raise InputError(f"The dense reference had {theirs} example passes; this run has {session.budget}.")


def _dense(session: BertSession, reference: dict[str, Any] | None, latency: dict[str, Any]) -> dict[str, Any]:
    """Return the dense model's side of the result: size and latency always, accuracy where it was trained."""
    trained = (
        "test_accuracy",
        "validation_accuracy",
        "macro_f1",
        "perplexity",
        "label_fraction",
        "example_passes",
        "train_seconds",
    )
    values = {name: None if reference is None else reference["fp32"][name] for name in trained}
    return values | {
        "parameters": session.dense_bytes // 4,
        "size_bytes": session.dense_bytes,
        "latency_ms": latency,
    }
