"""The folder of a run: created once, written atomically, held by one process at a time."""

from __future__ import annotations

import contextlib
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from sec_rl.errors import InputError, RunFolderError
from sec_rl.files import hold_folder, read_json, write_atomically
from sec_rl.results import fault_in

RESULT, TRAJECTORY, CONFIG = "result.json", "trajectory.jsonl", "config.toml"
# A process that was killed while it wrote its first file leaves this and nothing else.
_EMPTY = (CONFIG + ".new",)


@contextlib.contextmanager
def open_run_folder(folder: Path, *, overwrite: bool, resume: bool = False) -> Iterator[Path]:
    """Hold a run folder that may be created, replaced or gone on with; nothing in it changes, see `make_run_folder`.

    Args:
        folder: must not exist, be empty, or be a run folder that may be overwritten or resumed.
        overwrite: an earlier run may be replaced.
        resume: what is there is wanted.

    Raises:
        RunFolderError: another process holds it, it is finished and `overwrite` is off, or it is no run folder.
    """
    with hold_folder(folder, "Run folder"):
        if folder.is_dir() and any(path.name not in _EMPTY for path in folder.iterdir()):
            # What is to be resumed says itself what is wrong with it.
            if not resume and not _is_run(folder):
                raise RunFolderError(f"{str(folder)!r} is not empty and no run folder; nothing was touched.")
            if not overwrite and not resume:
                hint = "another" if (folder / RESULT).exists() else "--resume to go on with it, another,"
                raise RunFolderError(f"Run folder {str(folder)!r} exists already; give {hint} or --overwrite.")
        elif folder.exists() and not folder.is_dir():
            raise RunFolderError(f"{str(folder)!r} is a file; a run needs a folder.")
        yield folder


def make_run_folder(folder: Path, *, keep: bool) -> None:
    """Create a folder that is held; what an earlier run left there goes unless it is to be kept.

    Its configuration stays in any case until it is replaced: a process that is killed leaves a run folder.
    """
    if folder.is_dir() and not keep:
        for path in (path for path in folder.iterdir() if path.name != CONFIG):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.mkdir(exist_ok=True)


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
    if not path.exists():
        raise RunFolderError(f"{str(folder)!r} has no {RESULT}: no finished run.")
    try:
        result = read_json(path)
    except InputError as error:
        raise RunFolderError(f"{str(path)!r} is not the result of a run: {error}") from error
    fault = fault_in(result)
    if fault is not None:
        raise RunFolderError(f"{str(path)!r} is not the result of a run: {fault}.")
    return result


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


def _is_run(folder: Path) -> bool:
    """Return whether a folder has the configuration of a run; other programs have a `config.toml`, too."""
    try:
        return "resolved" in tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
