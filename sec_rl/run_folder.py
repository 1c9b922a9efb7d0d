"""The folder of a run: created once, written atomically, held by one process at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from sec_rl.errors import RunFolderError
from sec_rl.results import fault_in

RESULT, TRAJECTORY, CONFIG = "result.json", "trajectory.jsonl", "config.toml"


@contextlib.contextmanager
def open_run_folder(folder: Path, *, overwrite: bool, resume: bool = False) -> Iterator[Path]:
    """Create a run folder, or open the one to go on with, and hold it.

    Args:
        folder: must not exist, be empty, or be a run folder that may be overwritten or resumed.
        overwrite: replace an earlier run.
        resume: leave what is there.

    Raises:
        RunFolderError: another process holds it, it is finished and `overwrite` is off, or it is no run folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(f"Run folder {str(folder)!r} is in use by another process.") from error
    try:
        if folder.is_dir() and any(folder.iterdir()):
            if not (folder / CONFIG).exists():
                raise RunFolderError(f"{str(folder)!r} is not empty and no run folder; nothing was touched.")
            if not overwrite and not resume:
                hint = "another" if (folder / RESULT).exists() else "--resume to go on with it, another,"
                raise RunFolderError(f"Run folder {str(folder)!r} exists already; give {hint} or --overwrite.")
            if not resume:
                shutil.rmtree(folder)
        elif folder.exists() and not folder.is_dir():
            raise RunFolderError(f"{str(folder)!r} is a file; a run needs a folder.")
        folder.mkdir(exist_ok=True)
        yield folder
    finally:
        lock.release()


def write_atomically(path: Path, text: str) -> None:
    """Write beside, flush to disk, rename: a reader sees the old file or the new one, never half of it."""
    aside = path.with_name(path.name + ".new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def write_config(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `config.toml`; entries that are None are left out, for TOML has no such value."""
    write_atomically(folder / CONFIG, to_toml(values))


def to_toml(values: Mapping[str, Any]) -> str:
    """Return values as TOML; entries that are None are left out."""
    return tomli_w.dumps(_without_none(values))


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json`; a folder that has it is finished."""
    write_atomically(folder / RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")


def read_result(folder: Path) -> dict[str, Any]:
    """Return the result of a finished run.

    Raises:
        RunFolderError: there is none, or it cannot be read.
    """
    path = folder / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{str(folder)!r} has no {RESULT}: no finished run.") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{str(path)!r} cannot be read: {error}.") from error
    if not isinstance(result, dict):
        raise RunFolderError(f"{str(path)!r} is not the result of a run.")
    fault = fault_in(result)
    if fault is not None:
        raise RunFolderError(f"{str(path)!r} is not the result of a run: {fault}.")
    return result


def append_line(folder: Path, line: Mapping[str, Any]) -> None:
    """Append one segment to `trajectory.jsonl` and flush it."""
    with (folder / TRAJECTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def rewind_lines(path: Path, key: str, last: int) -> None:
    """Keep the lines of a JSONL file whose `key` is at most `last`; what came after will be written again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may have been cut short
            if json.loads(line)[key] <= last:
                kept.append(line + "\n")
    write_atomically(path, "".join(kept))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
