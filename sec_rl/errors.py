"""Errors that a user can act on. Faces turn them into one line and exit code 2."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class SecRlError(Exception):
    """Base of every error sec-rl raises on purpose; its text is one clear sentence."""


class InputError(SecRlError, ValueError):
    """Something the user gave (a flag, a row, a file, a name) cannot be used."""


class RunFolderError(SecRlError):
    """A run folder is taken, foreign, incomplete or unreadable."""


class DiskError(SecRlError):
    """A file cannot be written: the disk is full, or may not be written to; what stood there before still does."""


class OutOfMemoryError(SecRlError):
    """Memory ran out; the text names what decides how much is needed."""


class RunInterruptedError(SecRlError):
    """The user stopped a run; the text says how to go on with it."""


class MissingDependencyError(SecRlError, ImportError):
    """An optional wheel or package that this request needs is not installed."""


def unknown_name(kind: str, value: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not among `known`, suggesting the nearest one.

    Args:
        kind: what the name stands for, such as ``"task"``.
        value: the name as the user gave it.
        known: the valid names.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return InputError(f"Unknown {kind} {value!r}.{hint} Valid: {', '.join(names)}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is what Python, numpy, torch or the system raise when memory runs out."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch has no class of its own for the memory of the machine, nor does pybind11 always.
    said = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or "can't allocate memory" in said or "bad_alloc" in said


def out_of_range(name: str, value: float, low: float, high: float) -> InputError:
    """Build the error for a number outside the closed range [low, high]."""
    return InputError(f"{name} is {value:g}; it must lie in [{low:g}, {high:g}].")
