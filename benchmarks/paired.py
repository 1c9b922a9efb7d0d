"""Gains of one method over another, paired by task, seed and preference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Place = tuple[str, int, str]


def gains(rows: Sequence[Mapping[str, Any]], ours: str, theirs: str, *, key: str = "method") -> dict[Place, float]:
    """Return the gain in utility per task, seed and preference.

    Args:
        rows: with `task`, `seed`, `preference`, `utility` and the method.
        ours: method that gains.
        theirs: method that it is compared with; it has a row wherever ours has one.
        key: where a row names its method.
    """
    found: dict[str, dict[Place, float]] = {ours: {}, theirs: {}}
    for row in rows:
        if row[key] in found:
            found[row[key]][row["task"], row["seed"], row["preference"]] = row["utility"]
    return {place: utility - found[theirs][place] for place, utility in found[ours].items()}


def by_run(gained: Mapping[Place, float]) -> list[float]:
    """Return the mean over preferences per task and seed.

    Preferences of one task and seed share runs: a schedule is the same for all of them. They are no independent
    draws, and an interval over them would be too narrow.
    """
    places: dict[tuple[str, int], list[float]] = {}
    for (task, seed, _), gain in gained.items():
        places.setdefault((task, seed), []).append(gain)
    return [float(np.mean(values)) for values in places.values()]
