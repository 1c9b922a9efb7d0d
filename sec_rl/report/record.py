"""A finished run as it is read back from its folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sec_rl.errors import RunFolderError
from sec_rl.run_folder import CONFIG, TRAJECTORY, read_result


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
        lines = path.read_text(encoding="utf-8").splitlines()
        segments = tuple(json.loads(line) for line in lines)
        path = folder / CONFIG
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{str(path)!r} cannot be read: {error}.") from error
    if not segments:
        raise RunFolderError(f"{str(folder / TRAJECTORY)!r} holds no segment.")
    return RunRecord(folder.resolve().name, result, segments, config)
