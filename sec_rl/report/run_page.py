"""`RUN/report.html`: how a run went, and what came out of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sec_rl.files import write_atomically
from sec_rl.report import html
from sec_rl.report.cells import against_dense, clock_doubt, first_figures, headline, target_rows
from sec_rl.report.cost import cost_rows, time_account
from sec_rl.report.latency_figure import latency_figures
from sec_rl.report.layers import layers_picture, layers_sum
from sec_rl.report.record import RunRecord, read_run
from sec_rl.report.run_figures import run_figures

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Write `report.html` of a finished run: one file that opens without a network.

    Returns:
        the file.

    Raises:
        RunFolderError: the folder holds no finished run, or a file of it cannot be read.
    """
    path = folder / REPORT
    write_atomically(path, run_page(read_run(folder)))
    return path


def run_page(record: RunRecord) -> str:
    """Return the page of a run."""
    result = record.result
    drive = f"schedule {result.get('schedule')}, seed {result.get('seed')}"
    structure = record.segments[-1]["structure"]
    parts = [
        html.paragraph(headline(result), "lead"),
        html.paragraph(
            f"Task {result.get('task')}, encoder {result.get('encoder')}, {drive}. {_source(record)}", "soft"
        ),
        html.tiles(first_figures(result)),
        *_targets(result),
        html.heading("How the run went"),
        html.plots(run_figures(record.segments, result["dense"]["validation_accuracy"])),
        html.heading("What is left of each layer"),
        layers_picture(structure),
        html.paragraph(layers_sum(structure), "soft"),
        html.heading("Against the dense model"),
        html.table(["", "this model (int8 ONNX)", "dense (fp32 PyTorch)"], against_dense(result)),
        html.paragraph(_machine(result), "soft"),
        html.heading("Latency before and after"),
        html.plots(latency_figures(result)),
        *_cost(result),
        html.heading("Use it"),
        html.code(f'sec-rl predict {shlex.quote(record.name)}/model "a text to classify"'),
        html.heading("Run it again"),
        html.code(repeat_command(record)),
        html.paragraph(f"In the folder that holds {record.name}. Every segment is a line that pandas opens:", "soft"),
        html.code(f"pandas.read_json({record.name + '/trajectory.jsonl'!r}, lines=True)"),
    ]
    notes = list(result.get("notes") or ())
    if notes:
        parts += [html.heading("Notes"), html.bullets(notes)]
    parts.append(html.paragraph(_versions(result), "soft"))
    return html.page(f"Controlled run {record.name}", *parts)


def repeat_command(record: RunRecord) -> str:
    """Return the command that repeats a run from the configuration in its folder."""
    name = shlex.quote(record.name)
    return f"sec-rl run --config {name}/config.toml --out {shlex.quote(record.name + '-again')}"


def _targets(result: Mapping[str, Any]) -> list[str]:
    rows = target_rows(result)
    return [html.heading("Targets"), html.table(["", "asked", "reached", ""], rows)] if rows else []


def _cost(result: Mapping[str, Any]) -> list[str]:
    parts = time_account(result)
    bar = [html.shares(parts, "s")] if sum(seconds for _, seconds in parts) > 0.0 else []
    return [html.heading("What the run cost"), *bar, html.table(["", "this run"], cost_rows(result))]


def _source(record: RunRecord) -> str:
    measured = record.result["source"] == "measured"
    return "All figures are measured." if measured else "SIMULATED: no model was trained."


def _machine(result: Mapping[str, Any]) -> str:
    machine, settings = result.get("machine") or {}, result.get("latency_settings") or {}
    if not machine:
        return ""
    text = (
        f"{machine.get('cpu')}, {machine.get('threads')} threads, {settings.get('sequence_length')} tokens per text; "
        "each model in a process of its own, in turns. Accuracy, size and latency are of model.onnx; "
        "a dash means not measured."
    )
    doubt = clock_doubt(result)
    return text if doubt is None else f"{text} {doubt}"


def _versions(result: Mapping[str, Any]) -> str:
    machine = result.get("machine") or {}
    versions = ", ".join(f"{name} {version}" for name, version in (machine.get("versions") or {}).items())
    return f"Made with {versions or 'unknown versions'}, seed {result.get('seed')}."
