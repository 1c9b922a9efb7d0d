"""Files that are whole or not there, and folders that one process holds at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sec_rl.errors import DiskError, InputError, RunFolderError


@contextlib.contextmanager
def hold_folder(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes out of a folder, which need not exist yet; a killed process holds nothing.

    The lock is a file beside the folder. It stays with the folder, and goes if there is none in the end.

    Args:
        folder: to hold.
        what: it is called in the message, such as `Run folder`.

    Raises:
        RunFolderError: another process holds it.
    """
    place = folder.resolve()
    made = [parent for parent in place.parents if not parent.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.parent / f".{place.name}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(f"{what} {str(folder)!r} is in use by another process.") from error
    try:
        yield
    finally:
        if not place.exists():
            # Who opened this file before it went notices that it is gone, and stops.
            path.unlink(missing_ok=True)
        lock.release()
        if not place.exists():
            with contextlib.suppress(OSError):
                for parent in made:
                    parent.rmdir()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is done.

    Python runs their handlers in the main thread only; in another one there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, lambda signalled, _frame: came.append(signalled))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(signal.Signals(came[0]))


def leads_out(path: Path) -> bool:
    """Return whether a file is a link that leads out of its folder.

    In the hub's cache a folder `snapshots/REVISION` holds links into `blobs` beside `snapshots`; they stay inside.
    """
    folder = path.parent.resolve()
    try:
        target = path.resolve(strict=True)
        in_cache = folder.parent.name == "snapshots" and target.is_relative_to(folder.parent.parent / "blobs")
        return not (in_cache or target.is_relative_to(folder))
    except (OSError, RuntimeError):  # missing, or a circle of links
        return path.is_symlink()


def read_bytes(path: Path, most: int) -> bytes:
    """Return a file's content.

    Raises:
        InputError: it is missing, no plain file, a link out of its folder, unreadable, or larger than `most` bytes.
    """
    try:
        if leads_out(path):
            raise InputError(f"{str(path)!r} is a link that leads out of its folder; nothing was read.")
        if not path.is_file():
            raise InputError(f"{str(path)!r} is missing, or no file.")
        with path.open("rb") as file:
            # Python sets aside as much as it is asked for: only what the file has, and a byte to notice more.
            data = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if len(data) > most:
        raise InputError(f"{str(path)!r} is larger than {most} bytes; nothing was loaded.")
    return data


def read_json(path: Path, most: int = 10_000_000) -> dict[str, Any]:
    """Return the JSON object in a file of at most `most` bytes.

    Raises:
        InputError: it is missing, too large, or holds none.
    """
    data = read_bytes(path, most)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is no JSON: {' '.join(str(error).split())[:200]}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} holds no JSON object.")
    return content


def write_atomically(path: Path, text: str) -> None:
    """Write a text as `write_bytes` does, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, flush to disk, rename: a reader sees the old file or the new one, never half of it.

    Raises:
        DiskError: the disk is full, or may not be written to; the old file is as it was.
    """
    aside = path.with_name(path.name + ".new")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        # What was written of it would keep a full disk full.
        with contextlib.suppress(OSError):
            aside.unlink()
        raise disk_error(path, error, len(data)) from error


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append a line to a JSONL file and hand it to the system.

    Raises:
        DiskError: it could not be written, or only a part of it.
    """
    text = json.dumps(values, allow_nan=False) + "\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise disk_error(path, error, len(text)) from error


def disk_error(path: Path, error: BaseException, size: int | None = None) -> DiskError:
    """Return the error of a write that failed: path, reason, bytes wanted and bytes free.

    Args:
        path: that was to be written.
        error: that the system gave.
        size: bytes that were to be written; None: not known.
    """
    reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())[:200]
    wanted = "" if size is None else f"; it takes {size:,} bytes"
    free = "an unknown number of"
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(path.parent).free:,}"
    return DiskError(f"{str(path)!r} cannot be written: {reason}{wanted}, {free} bytes are free on its disk.")


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
