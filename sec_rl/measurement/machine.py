"""What a figure was measured on: processor, threads, versions."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_PACKAGES = ("torch", "transformers", "onnxruntime", "onnx", "datasets", "numpy", "sec-rl")


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _cpu() -> tuple[str, frozenset[str]]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine(), frozenset()
    values: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    return values.get("model name", platform.machine()), frozenset(values.get("flags", "").split())


def supports_bf16() -> bool:
    """Return whether the processor multiplies in bf16; emulated bf16 would be slower than fp32."""
    return bool(_cpu()[1] & {"avx512_bf16", "amx_bf16"})


def describe_machine(threads: int) -> dict[str, Any]:
    """Return processor, instruction sets, cores, threads, system and package versions, JSON-ready."""
    name, flags = _cpu()
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": name,
        "instruction_sets": [flag for flag in _FLAGS if flag in flags],
        "cores": usable_cores(),
        "threads": threads,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": versions,
    }
