"""What a figure was measured on: processor, threads, versions."""

from __future__ import annotations

import math
import os
import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "i8mm", "bf16")
# The last one is ARM's.
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_PACKAGES = ("torch", "transformers", "onnxruntime", "onnx", "datasets", "numpy")


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    try:
        return min(cores, quota_cores(quota.read_text(encoding="ascii")) or cores)
    except (OSError, ValueError):
        return cores


def quota_cores(cpu_max: str) -> int | None:
    """Return the cores that the text of a cgroup's `cpu.max` grants, at least 1; None without a limit."""
    quota, period = cpu_max.split()
    return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))


@lru_cache(maxsize=1)
def _cpu() -> tuple[str, frozenset[str]]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine(), frozenset()
    return parse_cpuinfo(path.read_text(encoding="utf-8"))


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Return the model's name and the flags of the first processor in the text of `/proc/cpuinfo`."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    flags = values.get("flags") or values.get("Features", "")
    return values.get("model name", platform.machine()), frozenset(flags.split())


def supports_bf16() -> bool:
    """Return whether the processor has bf16 instructions; `training.precision.bf16_gain` times whether they pay."""
    return bool(_cpu()[1] & _BF16_FLAGS)


def describe_machine(threads: int) -> dict[str, Any]:
    """Return what a latency depends on, JSON-ready.

    Args:
        threads: threads that the measurement uses.

    Returns:
        `cpu`, `instruction_sets`, `cores` usable by this process, `threads`, `system`, `python`,
        `versions`.
    """
    name, flags = _cpu()
    return {
        "cpu": name,
        "instruction_sets": [flag for flag in _FLAGS if flag in flags],
        "cores": usable_cores(),
        "threads": threads,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES} | {"sec_rl": _own_version()},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _own_version() -> str:
    import sec_rl

    # A checkout that is not installed has no metadata.
    return sec_rl.__version__
