"""Gains are paired by task, seed and preference, and preferences of one run are one draw."""

from __future__ import annotations

from typing import Any

from benchmarks.paired import by_run, gains

PLACES = [("sst2", 0, "balanced"), ("sst2", 1, "balanced"), ("sst2", 0, "few labels")]


def row(method: str, place: int, utility: float) -> dict[str, Any]:
    task, seed, preference = PLACES[place]
    return {"method": method, "task": task, "seed": seed, "preference": preference, "utility": utility}


def test_gains_are_paired_by_task_seed_and_preference() -> None:
    policy = [row("policy", place, 1.0 + place) for place in range(3)]
    others = [row("cubic", place, 0.5 * place) for place in (2, 0, 1)]
    found = gains([*others, *policy, row("dense", 0, 9.0)], "policy", "cubic")
    assert found == dict(zip(PLACES, [1.0, 1.5, 2.0], strict=True))
    # Both preferences of seed 0 are one draw: 1.0 and 2.0.
    assert by_run(found) == [1.5, 1.5]
