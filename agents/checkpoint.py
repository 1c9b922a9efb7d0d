"""Training states on disk: numbered, sealed, the two newest kept, read without pickle.

A state is a nested mapping of arrays and JSON-ready values. Arrays go to `state-<number>.safetensors` and the rest to
`state-<number>.json`, which carries the checksum of both and the version that saved them. A state that a crash or the
disk has damaged is passed over for the one before; one of another version is refused, for what a state holds and what
comes of it may differ from version to version.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl import __version__
from sec_rl.agents.sealed import CHECKSUM, Tensors, check_seal, parse_tensors, write_sealed
from sec_rl.errors import InputError
from sec_rl.files import read_bytes

_KEPT = 2
_LOG = logging.getLogger(__name__)
# A run's state holds an encoder three times, its teacher once: 1.8 GB at BERT-base's size.
_MOST_BYTES = 8_000_000_000
_SEPARATOR = "/"
_SUFFIXES = (".json", ".safetensors")
_VERSION, _VALUES = "sec_rl", "values"


def save_state(folder: Path, number: int, state: Mapping[str, Any]) -> None:
    """Write a state; when it is on disk, older ones than the one before it go.

    Args:
        folder: of the states.
        number: rises from state to state.
        state: arrays and JSON-ready values, nested in mappings; names without `/`.

    Raises:
        DiskError: the disk is full, or may not be written to; the states that were there still are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors, values = split_state(state)
    card, data = _paths(folder, number)
    write_sealed(card, {_VERSION: __version__, _VALUES: values}, data, tensors)
    kept = {path for kept in _numbers(folder)[-_KEPT:] for path in _paths(folder, kept)}
    # Also what a killed process has left half written.
    for path in folder.glob("state-*"):
        if path not in kept:
            path.unlink(missing_ok=True)


def has_state(folder: Path) -> bool:
    """Return whether a state was saved in a folder, whole or damaged.

    Tensors alone are none: the card comes last, and a process was killed before.
    """
    return any(folder.glob(f"state-*{_SUFFIXES[0]}"))


def load_state(folder: Path) -> dict[str, Any]:
    """Return the newest state that is whole; one that had to be passed over is logged as a warning.

    Raises:
        InputError: there is none, or another version of sec-rl saved it.
    """
    faults: list[InputError] = []
    for number in reversed(_numbers(folder)):
        try:
            version, state = _read(folder, number)
        except InputError as error:
            faults.append(error)
            continue
        if version != __version__:
            raise InputError(
                f"{str(folder)!r} was left by sec-rl {version}, and {__version__} cannot go on with it: resume with "
                f"{version}, or start anew with --overwrite."
            )
        for fault in faults:
            _LOG.warning("%s Going on from the state before it.", fault)
        return state
    if faults:
        raise InputError(f"No saved state is whole; start anew with --overwrite. {faults[0]}") from faults[0]
    raise InputError(f"{str(folder)!r} holds no saved state of a training.")


def split_state(state: Mapping[str, Any], prefix: str = "") -> tuple[Tensors, dict[str, Any]]:
    """Return the arrays of a nested mapping by their path, and the mapping without them."""
    tensors: Tensors = {}
    values: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            tensors[prefix + name] = value
        elif isinstance(value, Mapping):
            inner, values[name] = split_state(value, prefix + name + _SEPARATOR)
            tensors |= inner
        else:
            values[name] = value
    return tensors, values


def join_state(tensors: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put together what `split_state` took apart.

    Raises:
        InputError: an array's path leads nowhere.
    """
    state = json.loads(json.dumps(values))
    for path, value in tensors.items():
        *outer, name = path.split(_SEPARATOR)
        place = state
        for each in outer:
            place = place.get(each) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InputError(f"The state has an array {path!r}, and no place for it.")
        place[name] = value
    return dict(state)


def _read(folder: Path, number: int) -> tuple[str, dict[str, Any]]:
    """Return the version that saved a state, and the state."""
    card_path, data_path = _paths(folder, number)
    text, data = read_bytes(card_path, _MOST_BYTES), read_bytes(data_path, _MOST_BYTES)
    card = None
    with contextlib.suppress(ValueError, RecursionError):
        card = json.loads(text)
    if not isinstance(card, dict) or set(card) != {_VERSION, _VALUES, CHECKSUM}:
        raise InputError(f"{str(card_path)!r} is damaged.")
    check_seal(card, data, card_path)
    return card[_VERSION], join_state(parse_tensors(data, data_path), card[_VALUES])


def _numbers(folder: Path) -> list[int]:
    """Return the numbers of the states in a folder, ascending; of one that lacks a file, too."""
    names = {path.stem.removeprefix("state-") for suffix in _SUFFIXES for path in folder.glob(f"state-*{suffix}")}
    return sorted(int(name) for name in names if name.isdecimal())


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    stem = f"state-{number:012d}"
    card, data = (folder / f"{stem}{suffix}" for suffix in _SUFFIXES)
    return card, data
