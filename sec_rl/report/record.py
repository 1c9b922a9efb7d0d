"""A finished run as it is read back from its folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sec_rl.errors import InputError, RunFolderError
from sec_rl.files import read_bytes
from sec_rl.results import segment_fault
from sec_rl.run_folder import CONFIG, TRAJECTORY, read_result

_MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds, without its model.

    Attributes:
        name: the folder's own name.
        result: `result.json`.
        segments: lines of `trajectory.jsonl`, segment 0 (the opened session) first.
        config: `config.toml`.
    """

    name: str
    result: Mapping[str, Any]
    segments: tuple[Mapping[str, Any], ...]
    config: Mapping[str, Any]


def read_run(folder: Path) -> RunRecord:
    """Read a finished run.

    Raises:
        RunFolderError: the folder holds no finished run, or a file of it cannot be read.
    """
    result = read_result(folder)
    path = folder / TRAJECTORY
    try:
        lines = read_bytes(path, _MOST_BYTES).decode().splitlines()
        segments = tuple(json.loads(line) for line in lines)
        faults = [fault for fault in map(segment_fault, segments) if fault]
        if faults:
            raise RunFolderError(f"{str(path)!r} is not the trajectory of a run: {faults[0]}.")
        path = folder / CONFIG
        config = tomllib.loads(read_bytes(path, _MOST_BYTES).decode())
    except (InputError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{str(path)!r} cannot be read: {error}.") from error
    if not segments:
        raise RunFolderError(f"{str(folder / TRAJECTORY)!r} holds no segment.")
    return RunRecord(folder.resolve().name, result, segments, config)
