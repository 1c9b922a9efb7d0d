"""A JSON card and a file of tensors that belong together: written atomically, sealed by one checksum, no pickle.

The card names the checksum of both, so that a flipped bit, a truncated file, or a card beside the tensors of another
save is noticed. The tensors are written first and the card last: a save that is cut short leaves the old card, or one
that does not fit, and never a pair that looks whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from sec_rl.errors import InputError
from sec_rl.files import uninterrupted, write_bytes

CHECKSUM = "checksum"
Tensors = dict[str, NDArray[Any]]


def write_sealed(card_path: Path, card: Mapping[str, Any], tensors_path: Path, tensors: Mapping[str, Any]) -> None:
    """Write the pair; Ctrl-C and SIGTERM wait until both are written.

    Args:
        card_path: of the JSON file.
        card: JSON-ready, finite, without an entry `checksum`.
        tensors_path: of the safetensors file.
        tensors: arrays by name.

    Raises:
        DiskError: the disk is full, or may not be written to.
        MemoryError: there is no memory for a copy of the tensors.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    # Where there is no memory for its copy, safetensors ends the process; numpy raises.
    np.empty(sum(array.nbytes for array in arrays.values()), np.uint8)
    data = safetensors.numpy.save(arrays)
    # What comes back from JSON is what is sealed: tuples are lists by then.
    plain = json.loads(json.dumps(card, allow_nan=False))
    sealed = {**plain, CHECKSUM: checksum(plain, data)}
    card_text = (json.dumps(sealed, indent=1, allow_nan=False) + "\n").encode()
    with uninterrupted():
        write_bytes(tensors_path, data)
        write_bytes(card_path, card_text)


def parse_tensors(data: bytes, path: Path) -> Tensors:
    """Return the arrays of a safetensors file's content.

    Raises:
        InputError: it is none.
    """
    try:
        tensors: Tensors = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} is damaged: {' '.join(str(error).split())[:200]}.") from error
    return tensors


def check_seal(card: Mapping[str, Any], data: bytes, path: Path) -> None:
    """Check that a card and the content of its tensors' file are those that were written.

    Raises:
        InputError: they are not.
    """
    plain = {key: value for key, value in card.items() if key != CHECKSUM}
    if card.get(CHECKSUM) != checksum(plain, data):
        raise InputError(f"{str(path)!r} and its tensors do not fit their checksum; one of them is damaged.")


def checksum(card: Mapping[str, Any], data: bytes) -> str:
    """Return the SHA-256 of a card (without its checksum) and the content of its tensors' file."""
    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode() + b"\0" + data).hexdigest()
