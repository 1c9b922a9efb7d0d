"""What a method ended with in all worlds of a family, kept on disk: what was played is not played again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worlds import Outcomes, World
from sec_rl.files import write_bytes

# Plays all preferences of a world: (preferences, trainings, 6).
Method = Callable[[World], Outcomes]


def play_worlds(method: Method, worlds: Sequence[World], path: Path, about: Mapping[str, Any]) -> Outcomes:
    """Play a method in every world, or read what it ended with when it was played before.

    Args:
        method: plays one world.
        worlds: of one family.
        path: of the file, in a folder of the judge; `.npz`.
        about: what the result depends on beside the worlds, JSON-ready; when it differs, the method is played again.

    Returns:
        (worlds, preferences, trainings, 6).
    """
    stamp = json.dumps({**about, "worlds": [[world.seed, world.n_segments] for world in worlds]}, sort_keys=True)
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            if str(file["stamp"]) == stamp:
                return np.asarray(file["outcomes"], np.float64)
    found = np.stack([method(world) for world in worlds])
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, stamp=np.array(stamp), outcomes=found)
    write_bytes(path, buffer.getvalue())
    return found
