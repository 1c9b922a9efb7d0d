"""Results as JSON and as Markdown, with the command and the machine beside the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.estimates import Criterion
from benchmarks.options import Options
from sec_rl.measurement.machine import describe_machine


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is left-aligned, the others right-aligned."""
    lines = [list(header), ["---"] + ["---:"] * (len(header) - 1), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return processor, threads and the versions that decide figures, in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    sets = ", ".join(machine["instruction_sets"])
    return f"{machine['cpu']} ({sets}), {machine['threads']} threads; Python {machine['python']}, {versions}"


def write_results(
    options: Options,
    title: str,
    *,
    tables: Sequence[str],
    criteria: Sequence[Criterion] = (),
    notes: Sequence[str] = (),
    over: str | None = None,
    data: Mapping[str, Any],
) -> str:
    """Write `NAME.json` and `NAME.md` into the folder of results.

    Args:
        options: of the benchmark.
        title: heading of the page.
        tables: Markdown, in order.
        criteria: limits and whether they were kept.
        notes: one sentence each, below the tables.
        over: what means and intervals are taken over; None: the seeds.
        data: everything measured, JSON-ready.

    Returns:
        the Markdown page.
    """
    machine = describe_machine(options.threads)
    settings: dict[str, Any] = {
        "tasks": list(options.tasks),
        # The name of a folder says enough; its place on this machine is nobody's business.
        "encoder": options.encoder.rstrip("/").rpartition("/")[2],
        "seeds": list(options.seeds),
        "passes": options.passes,
    }
    page = [f"# {title}", "", "```bash", options.command, "```", "", machine_line(machine)]
    over = over or f"seeds {', '.join(map(str, options.seeds))}"
    if options.tasks:
        page += ["", f"Encoder `{settings['encoder']}`; mean over {over} [95 % bootstrap interval]."]
    for table in tables:
        page += ["", table]
    if criteria:
        rows = [
            [c.name, c.estimate.text(3), f"{c.bound} {c.limit:g}", "pass" if c.passed else "**fail**"]
            for c in criteria
        ]
        page += ["", markdown_table(["criterion", "measured", "limit", "verdict"], rows)]
    if notes:
        page += ["", *(f"- {note}" for note in notes)]
    text = "\n".join(page) + "\n"
    options.results.mkdir(parents=True, exist_ok=True)
    content = {
        "command": options.command,
        "machine": machine,
        "settings": settings,
        "criteria": [criterion.to_dict() for criterion in criteria],
        **data,
    }
    (options.results / f"{options.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (options.results / f"{options.name}.md").write_text(text, encoding="utf-8")
    return text
