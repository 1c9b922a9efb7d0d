"""What a method ended with in all worlds of a family, kept on disk: what was played is not played again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Worlds
from benchmarks.worlds import Outcomes
from sec_rl.files import write_bytes

# Plays all worlds for all preferences: (worlds, preferences, trainings, 6).
Method = Callable[[Worlds], Outcomes]


def play_worlds(method: Method, worlds: Worlds, path: Path, about: Mapping[str, Any]) -> Outcomes:
    """Play a method in every world, or read what it ended with when it was played before.

    Args:
        method: plays worlds.
        worlds: of one family.
        path: of the file, in a folder of the judge; `.npz`.
        about: what the result depends on beside the worlds, JSON-ready; when it differs, the method is played again.

    Returns:
        (worlds, preferences, trainings, 6).
    """
    stamp = json.dumps({**about, "worlds": [[seed, worlds.n_segments] for seed in worlds.seeds]}, sort_keys=True)
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            if str(file["stamp"]) == stamp:
                return np.asarray(file["outcomes"], np.float64)
    found = method(worlds)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, stamp=np.array(stamp), outcomes=found)
    write_bytes(path, buffer.getvalue())
    return found
