"""Machines that are not like this one: processors without its instructions, and memory that ends."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.faults.row import Row
from benchmarks.faults.runs import SEGMENTS, difference, finish, small_run, start_run

# What libraries take for this processor: the instructions of any x86-64, and those before AVX512. bf16 needs AVX512.
PROCESSORS = {
    "x86-64": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
# From here on, a run may have so much address space beyond what its libraries took.
_LIMITED = """
import resource, torch
from pathlib import Path
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
most = taken + {spare}
resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
"""
# From too little for the model to nearly enough for the whole run, in equal steps.
_LEAST_BYTES, _MOST_BYTES = 16 << 20, 400 << 20
_WIDTH, _BATCH = 512, 128


def other_processors(count: int, folder: Path, seed: int) -> Row:
    """Do a run with fewer instructions, `count` times with each; it must end, and the same every time."""
    config = small_run(folder, seed).model_copy(update={"precision": "auto"})
    lost, corrupted, problems = 0, 0, []
    for name, variables in PROCESSORS.items():
        places = [folder / f"{name}-{number}" for number in range(count)]
        for place in places:
            try:
                finish(config, place, "--overwrite", environment=variables)
                found = difference(place, places[0])
            except RuntimeError as error:
                lost += 1
                problems.append(f"{name}: {error}")
                continue
            corrupted += found is not None
            problems += [f"{name}: {found} differs."] if found else []
    row = "a real run on a processor without AVX512 and bf16"
    return Row(row, count * len(PROCESSORS), lost, corrupted, problems=problems)


def little_memory(count: int, folder: Path, seed: int) -> Row:
    """Run with memory that ends, at sizes from hardly any to nearly enough.

    A run must end with one line that names the setting or the file, and go on to the end where there is memory.
    """
    config = small_run(folder, seed, width=_WIDTH)
    config = config.model_copy(update={"batch_size": _BATCH, "passes": SEGMENTS * _BATCH})
    lost = corrupted = injected = 0
    problems = []
    for number in range(count):
        spare = _LEAST_BYTES + (_MOST_BYTES - _LEAST_BYTES) * number // count
        place = folder / "little"
        shutil.rmtree(place, ignore_errors=True)
        process = start_run(config, place, before=_LIMITED.format(spare=spare))
        said = process.communicate()[1].strip()
        if process.returncode == 0:
            continue
        injected += 1
        # Of a file that cannot be loaded, the error names the file.
        named = "--batch-size" in said or "Cannot allocate memory" in said
        if process.returncode != 2 or "\n" in said or not named:
            corrupted += 1
            problems.append(f"{spare >> 20} MB: exit {process.returncode}, {said[-200:]}")
        try:
            finish(config, place, *(("--resume",) if (place / "config.toml").exists() else ()))
        except RuntimeError as error:
            lost += 1
            problems.append(f"{spare >> 20} MB, then enough: {error}")
    return Row("memory that ends in a real run", injected, lost, corrupted, problems=problems)
