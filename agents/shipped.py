"""What ships with the package: recorded episodes, the simulator fitted to them, the policy learned on it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sec_rl.errors import MissingDependencyError


def shipped_policy() -> Path:
    """Return the folder of the policy that `replay` uses by default."""
    return _shipped("policy")


def shipped_simulator() -> Path:
    """Return the folder of the simulator that `train` uses by default."""
    return _shipped("simulator")


def shipped_traces() -> Path:
    """Return the folder of the recorded episodes, with their data card."""
    return _shipped("traces")


def _shipped(name: str) -> Path:
    folder = Path(str(resources.files("sec_rl"))) / "shipped" / name
    if not folder.is_dir():
        raise MissingDependencyError(
            f"This installation lacks its {name} ({folder.parent.name}/{name}); reinstall it."
        )
    return folder
