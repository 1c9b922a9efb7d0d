"""What a run cost: where its time went, and what it was spent on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sec_rl.report.cells import number

# Key of `seconds` in `result.json` -> what a person calls it. The order is that of the run.
PARTS = {
    "opening": "opening: task and encoder",
    "training": "training",
    "preparing": "choosing labels, pruning",
    "validation": "validation",
    "timing": "timing this machine",
    "control": "the controller",
    "saving": "saving states",
    "closing": "export, test, the clock",
}


def time_account(result: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return (part of the run, seconds) in the order of the run; empty where nothing was noted."""
    seconds = result.get("seconds") or {}
    return [(words, float(seconds[key])) for key, words in PARTS.items() if seconds.get(key) is not None]


def cost_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (what was spent, how much) beside the clock."""
    bought = result.get("labels_bought")
    rows = [
        ("labels bought", number(bought, digits=0)),
        ("example passes", number(result["example_passes"], digits=0)),
        ("segments taken back", number(result.get("rollbacks"), digits=0)),
    ]
    dense = result["dense"].get("train_seconds")
    if dense is not None:
        rows.append(("training time of the dense reference, beside this run", number(dense, " s", 0)))
    return rows
