"""Inject every fault in number, and write the table of faults survived.

python -m benchmarks.faults                       # what takes no more than an hour
python -m benchmarks.faults --real-kills 200 --real-signals 50 --jumps 20
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.console import exit_with, say, verdict
from benchmarks.estimates import Criterion, estimate
from benchmarks.faults.bad_rows import name_bad_rows, plant_leaks
from benchmarks.faults.clock_jumps import clock_jumps
from benchmarks.faults.damage import HARMS, damage
from benchmarks.faults.lanes import lose_workers
from benchmarks.faults.layouts import change_layouts, misspell_keys
from benchmarks.faults.payloads import PAYLOADS, judge_payload
from benchmarks.faults.poisons import POISONS, poison_training
from benchmarks.faults.row import Row, together
from benchmarks.faults.samples import BINARY, KINDS
from benchmarks.faults.saving import full_disks, kills
from benchmarks.faults.starts import killed_holders, simultaneous_starts
from benchmarks.faults.strikes import kill_runs, signal_runs
from benchmarks.faults.surroundings import little_memory, other_processors
from benchmarks.options import RESULTS, Options
from benchmarks.writing import markdown_table, write_results
from sec_rl.errors import MissingDependencyError
from sec_rl.files import write_atomically

# A reader that takes this long over a batch hangs. A batch is what an interrupted call does again at most.
_FUZZ_SECONDS, _FUZZ_BATCH = 3600.0, 2500
_JUMP_BATCH, _STRIKE_BATCH = 4, 50
# Reading is slow in places: parquet goes through a builder of its own, configurations through the command line.
_SLOW = {"task, parquet": 0.05, "configuration": 0.2, "interrupted run": 0.2}


@dataclass(frozen=True)
class Counts:
    """How often each fault is injected; the fields are the flags."""

    kills: int = 200
    damages: int = 500
    disks: int = 20
    starts: int = 20
    poisons: int = 100
    worker_kills: int = 25
    worker_stops: int = 10
    leaks: int = 10
    little_memory: int = 10
    processors: int = 2
    fuzz: int = 10_000
    guided: int = 0
    real_kills: int = 0
    real_signals: int = 0
    jumps: int = 0
    seed: int = 0


_QUICK = Counts(
    kills=10,
    damages=24,
    disks=5,
    starts=2,
    poisons=4,
    worker_kills=2,
    worker_stops=1,
    leaks=1,
    little_memory=0,
    processors=0,
    fuzz=20,
)
# Takes `folder` by name.
Part = Callable[..., Row | Sequence[Row]]


def read_counts(arguments: Sequence[str] | None = None) -> tuple[Counts, argparse.Namespace]:
    """Read the command line: counts, and folders."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__, allow_abbrev=False)
    for name, value in asdict(Counts()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default: {value}")
    parser.add_argument("--out", type=Path, help="folder of finished parts; they are not made again")
    parser.add_argument("--results", type=Path, help=f"folder of the table; default: {RESULTS}")
    parser.add_argument("--finished", action="store_true", help="do nothing more: the table of finished parts")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="do parts that begin so, and write no table: other processes do others",
    )
    parser.add_argument("--quick", action="store_true", help="a few of each, the table beside the parts")
    found = parser.parse_args(arguments)
    base = asdict(_QUICK if found.quick else Counts())
    given = {name: getattr(found, name) for name in base if getattr(found, name) is not None}
    found.given = given
    return Counts(**(base | given)), found


def parts_of(counts: Counts) -> dict[str, tuple[Part, dict[str, int]]]:
    """Return the parts by name: what each does in a folder, and the settings that it depends on."""
    seed = {"seed": counts.seed}
    strikes: dict[str, Part] = {"kills": kill_runs}
    strikes |= {name: partial(signal_runs, name) for name in ("SIGTERM", "SIGINT")}
    lost_workers = {"kills": counts.worker_kills, "stops": counts.worker_stops, **seed}
    parts: dict[str, tuple[Part, dict[str, int]]] = {
        "kills": _part(kills, count=counts.kills, **seed),
        "disks": _part(full_disks, count=counts.disks),
        "starts": (partial(simultaneous_starts, counts.starts), {"count": counts.starts}),
        "holders": _part(killed_holders, count=counts.starts),
        "payloads": (_payloads, {"count": len(PAYLOADS)}),
        "bad rows": _part(name_bad_rows),
        "leaks": (partial(plant_leaks, counts.leaks, seed=counts.seed), {"count": counts.leaks, **seed}),
        "misspelt keys": _part(misspell_keys),
        "layouts": _part(change_layouts),
        "workers": (lambda folder: lose_workers(**lost_workers), lost_workers),
    }
    for name in POISONS:
        parts[f"poison, {name}"] = _part(partial(poison_training, name), count=counts.poisons // len(POISONS), **seed)
    # As many flips as asked for, a fifth of that of the others.
    for name in HARMS:
        count = counts.damages if name == "one bit flipped" else counts.damages // 5
        parts[f"damage, {name}"] = _part(partial(damage, name), count=count, **seed)
    batched: dict[str, tuple[Part, int, int]] = {}
    for kind in KINDS:
        batched[f"fuzz, {kind}"] = partial(_fuzzed, kind), int(counts.fuzz * _SLOW.get(kind, 1.0)), _FUZZ_BATCH
    for name in BINARY:
        batched[f"guided, {name}"] = partial(_guided, name), counts.guided, _FUZZ_BATCH
    for name, strike in strikes.items():
        whole = counts.real_kills if name == "kills" else counts.real_signals
        batched[f"real {name}"] = strike, whole, _STRIKE_BATCH
    batched["clock jumps"] = clock_jumps, counts.jumps, _JUMP_BATCH
    for name, (work, whole, most) in batched.items():
        for number, settings in enumerate(_batches(whole, most, counts.seed)):
            parts[f"{name}, {number}"] = _part(work, **settings)
    if counts.little_memory:
        parts["little memory"] = _part(little_memory, count=counts.little_memory, **seed)
    if counts.processors:
        parts["processors"] = _part(other_processors, count=counts.processors, **seed)
    return parts


def _part(work: Part, **settings: int) -> tuple[Part, dict[str, int]]:
    """Return what does a part, and the settings it does it with; the folder comes later, by name."""
    return partial(work, **settings), settings


def _batches(count: int, most: int, seed: int) -> Iterator[dict[str, int]]:
    """Cut a count into parts of at most so many, each with a seed of its own."""
    for number, first in enumerate(range(0, count, most)):
        yield {"count": min(most, count - first), "seed": seed + number}


def _payloads(*, folder: Path) -> Row:
    del folder  # a payload gets one that is gone afterwards
    problems = []
    for name in PAYLOADS:
        with tempfile.TemporaryDirectory() as place:
            fault = judge_payload(name, Path(place))
        if fault is not None:
            problems.append(f"{name}: {fault}.")
    return Row("hostile folders", len(PAYLOADS), 0, len(problems), problems=problems)


def _fuzzed(kind: str, *, folder: Path, count: int, seed: int) -> Row:
    del folder  # its process has one of its own
    return _counted(f"fuzzed: {kind}", "fuzz", kind, count, seed)


def _guided(name: str, *, folder: Path, count: int, seed: int) -> Row:
    del folder  # likewise
    if importlib.util.find_spec("atheris") is None:
        raise MissingDependencyError("--guided needs atheris: pip install 'sec-rl[fuzz]'")
    return _counted(f"fuzzed, guided by coverage: {name}", "guided", name, count, seed)


def _counted(fault: str, module: str, name: str, count: int, seed: int) -> Row:
    """Fuzz in a process of its own; one that dies is a fault, too."""
    words = [sys.executable, "-m", f"benchmarks.faults.{module}", name, str(count), str(seed)]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_FUZZ_SECONDS)
    except subprocess.TimeoutExpired:
        return Row(fault, 0, 1, 0, problems=[f"{name}: a reader hangs."])
    if ended.returncode:
        return Row(fault, 0, 1, 0, problems=[f"{name}: exit {ended.returncode}, {ended.stderr.strip()[-200:]}"])
    found = json.loads(ended.stdout.splitlines()[-1])
    details = {key: float(found[key]) for key in ("refused", "read", "peak_growth_bytes")}
    problems = [f"{name}: {each}" for each in found["foreign"]]
    return Row(fault, found["inputs"], 0, len(problems), details, problems)


def main() -> int:
    """Do what was asked for and is not done yet; exit code 1: a fault was not survived."""
    counts, found = read_counts()
    out = found.out or Path("runs/benchmarks") / ("faults-quick" if found.quick else "faults")
    rows: list[Row] = []
    left: list[str] = []
    for name, (work, settings) in parts_of(counts).items():
        if found.only and not name.startswith(tuple(found.only)):
            continue
        slug = name.replace(", ", "-").replace(" ", "-")
        kept = out / "parts" / f"{slug}.json"
        content = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
        if content is None or content["settings"] != settings:
            if found.finished:
                left.append(name)
                continue
            say(f"{name} ...")
            # A folder of its own: another process may do another part.
            folder = out / "work" / slug
            folder.mkdir(parents=True, exist_ok=True)
            found_rows = work(folder=folder)
            made = [asdict(row) for row in ([found_rows] if isinstance(found_rows, Row) else found_rows)]
            shutil.rmtree(folder)
            content = {"settings": settings, "rows": made}
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps(content, indent=1) + "\n")
        rows += [Row(**row) for row in content["rows"]]
    if found.only:
        return 0
    flags = "".join(f" --{name.replace('_', '-')} {value}" for name, value in found.given.items())
    options = Options(
        name="faults",
        tasks_root=Path(),
        tasks=(),
        encoder="minilm-l6",
        out=out,
        results=found.results or (out if found.quick else RESULTS),
        seeds=(counts.seed,),
        passes=None,
        threads=1,
        workers=1,
        ray_address=None,
        quick=found.quick,
        command="python -m benchmarks.faults" + (" --quick" if found.quick else "") + flags,
    )
    return _write(options, together(rows), left)


def _write(options: Options, rows: Sequence[Row], left: Sequence[str]) -> int:
    """Write the page; `left` names the parts that were asked for and are not done yet."""
    lines = [[row.fault, f"{row.injected:,}", str(row.lost), str(row.corrupted)] for row in rows]
    fuzzed = [row for row in rows if row.fault.startswith("fuzzed")]
    whole = any("real run" in row.fault for row in rows)
    criteria = [
        Criterion("faults that lost or corrupted something", estimate([float(r.lost + r.corrupted)]), "at most", 0.0)
        for r in rows
        if r.lost or r.corrupted
    ]
    notes = [
        f"{sum(row.injected for row in fuzzed):,} spoilt folders were read in all; "
        f"{sum(row.corrupted for row in fuzzed)} kinds of errors that are not of sec-rl came out, and "
        f"{sum(row.lost for row in fuzzed)} readers crashed or hung.",
        "The kills inside and between saves hit a small process that saves states of half a megabyte without end; "
        "they are counted by where they really hit.",
        "A real run is struck up to ten times and goes on each time; its trajectory, result and files must be those "
        "of a run that was left alone, bit for bit, times apart."
        if whole
        else "No whole run was killed for this table: --real-kills and --real-signals do that.",
        "A full disk is a limit on the size of a file, in equal steps from none to nearly all that is to be written. "
        "The starts are that many rounds of twenty processes; lost is a round without a winner, corrupted one with "
        "two.",
        "Lost: a finished state, a run or a folder was gone. Corrupted: something else came back than was written, "
        "or an error that is not of sec-rl.",
        *(
            f"{row.fault}: {row.details['slowest_exit_seconds']:.2f} s at most from the signal to the end."
            for row in rows
            if "slowest_exit_seconds" in row.details
        ),
        *(
            f"{row.fault}: the slowest step took {row.details['slowest_step_seconds']:.1f} s; one that is stopped is "
            "given up after 4."
            for row in rows
            if "slowest_step_seconds" in row.details
        ),
        *([f"Not done yet: {'; '.join(left)}."] if left else []),
        *(problem for row in rows for problem in row.problems),
    ]
    text = write_results(
        options,
        "Faults survived",
        tables=[markdown_table(["fault", "times injected", "lost", "corrupted"], lines)],
        criteria=criteria,
        notes=notes,
        data={"rows": [asdict(row) for row in rows]},
    )
    return verdict(text, criteria)


if __name__ == "__main__":
    exit_with(main)
