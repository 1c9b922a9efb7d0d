"""`RUN/report.html`: how a run went, and what came out of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from sec_rl.files import write_atomically
from sec_rl.report import html
from sec_rl.report.cells import against_dense, clock_doubt, headline
from sec_rl.report.figures import accuracy_figure, cost_figure, ratios_figure
from sec_rl.report.layers import layers_picture
from sec_rl.report.record import RunRecord, read_run

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
    parts = [
        html.paragraph(headline(result), "lead"),
        html.paragraph(
            f"Task {result.get('task')}, encoder {result.get('encoder')}, {drive}. {_source(record)}", "soft"
        ),
        html.heading("Against the dense model"),
        html.table(["", "this model (int8 ONNX)", "dense (fp32 PyTorch)"], against_dense(result)),
        html.paragraph(_machine(result), "soft"),
        html.heading("How the run went"),
        _plots(record),
        html.heading("What is left of each layer"),
        layers_picture(record.segments[-1]["structure"]),
        html.heading("Use it"),
        html.code(f'sec-rl predict {shlex.quote(record.name)}/model "a text to classify"'),
        html.heading("Run it again"),
        html.code(repeat_command(record)),
    ]
    notes = list(result.get("notes") or ())
    if notes:
        parts += [html.heading("Notes"), html.bullets(notes)]
    return html.page(f"Controlled run {record.name}", *parts)


def repeat_command(record: RunRecord) -> str:
    """Return the command that repeats a run from the configuration in its folder."""
    name = shlex.quote(record.name)
    return f"sec-rl run --config {name}/config.toml --out {shlex.quote(record.name + '-again')}"


def _plots(record: RunRecord) -> str:
    metrics = [line["metrics"] for line in record.segments]
    numbers = [line["segment"] for line in record.segments]
    # Before the first segment nothing is in use and nothing is trained; the ratios say so, the accuracy is chance.
    dense = record.result["dense"]["validation_accuracy"]
    figures = [
        (
            ratios_figure(numbers, [m["data_ratio"] for m in metrics], [m["compression_ratio"] for m in metrics]),
            "Share of the labels in use, and share of the encoder removed.",
        ),
        (
            accuracy_figure(numbers, [m["validation_accuracy"] for m in metrics], dense),
            "Accuracy on validation texts.",
        ),
        (
            cost_figure(numbers, [m["size_ratio"] for m in metrics], [m["latency_ratio"] for m in metrics]),
            "Predicted while training; the table above is measured.",
        ),
    ]
    return html.plots(figures)


def _source(record: RunRecord) -> str:
    measured = record.result["source"] == "measured"
    return "All figures are measured." if measured else "SIMULATED: no model was trained."


def _machine(result: Any) -> str:
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
