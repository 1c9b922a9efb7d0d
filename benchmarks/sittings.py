"""Tables that grow: rows of other tasks and seeds, taken in an earlier sitting, perhaps on another machine.

A task and a seed are compared among themselves, and their latencies are ratios of one timing, so they need not be
taken where the others were. What was taken with other settings is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.options import Options
from benchmarks.writing import machine_line
from sec_rl.errors import InputError
from sec_rl.measurement.machine import describe_machine

ADD = "add"
SWITCHES = {ADD: "keep the rows of other tasks and seeds that the table has already"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Sitting:
    """What was taken in one go.

    Attributes:
        command: that took it.
        machine: processor and versions, in one line.
        made_with: what rows follow from beside task and seed, JSON-ready; the same for all sittings of a table.
        places: (task, seed) of its rows.
    """

    command: str
    machine: str
    made_with: Mapping[str, Any]
    places: tuple[tuple[str, int], ...]


def today(options: Options, rows: Sequence[Row], made_with: Mapping[str, Any]) -> Sitting:
    """Return the sitting of rows that were taken just now, each with its `task` and `seed`."""
    machine = machine_line(describe_machine(options.threads))
    return Sitting(options.command, machine, json.loads(json.dumps(made_with)), tuple(places_of(rows)))


def earlier(options: Options, made_with: Mapping[str, Any]) -> tuple[list[Row], list[Sitting]]:
    """Return the rows that the table in the folder of results has, and their sittings; none without `--add`.

    Call it before anything is trained: what cannot be added to is better known then.

    Raises:
        InputError: the table was taken with other settings, or before sittings were noted, or is not whole.
    """
    path = options.results / f"{options.name}.json"
    if ADD not in options.switches or not path.is_file():
        return [], []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sittings = [
            Sitting(**each | {"places": tuple((task, seed) for task, seed in each["places"])})
            for each in content["sittings"]
        ]
        rows = list(content["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} holds no rows that can be added to; leave out --{ADD}.") from error
    wanted = json.loads(json.dumps(made_with))
    for sitting in sittings:
        for key, value in wanted.items():
            if sitting.made_with.get(key) != value:
                raise InputError(
                    f"{str(path)!r} was taken with {key} {sitting.made_with.get(key)!r}, and this is {value!r}: "
                    f"its rows cannot be added to; leave out --{ADD}."
                )
    return rows, sittings


def joined(
    options: Options, old: tuple[Sequence[Row], Sequence[Sitting]], new: tuple[Sequence[Row], Sitting]
) -> tuple[Options, list[Row], list[Sitting]]:
    """Return options, rows and sittings of the whole table; what was taken again replaces what was there.

    Args:
        options: of today.
        old: what `earlier` returned.
        new: rows of today, and their sitting.
    """
    rows, sitting = new
    again = set(sitting.places)
    kept = [replace(each, places=tuple(p for p in each.places if p not in again)) for each in old[1]]
    sittings = [*(each for each in kept if each.places), sitting]
    # Seeds vary slowest, as in a table that is taken in one go.
    both = [*(row for row in old[0] if (row["task"], row["seed"]) not in again), *rows]
    tasks = tuple(dict.fromkeys(task for each in sittings for task, _ in each.places))
    both.sort(key=lambda row: (row["seed"], tasks.index(row["task"])))
    seeds = tuple(sorted({seed for _, seed in places_of(both)}))
    command = "\n".join(each.command for each in sittings)
    return replace(options, tasks=tasks, seeds=seeds, command=command), both, sittings


def notes_on(sittings: Sequence[Sitting]) -> list[str]:
    """Return a note per sitting: what was taken where; none where there was one only."""
    if len(sittings) == 1:
        return []
    return [f"{_listed(each.places)}: {each.machine}." for each in sittings]


def as_json(sittings: Sequence[Sitting]) -> list[dict[str, Any]]:
    """Return the sittings, JSON-ready; `earlier` reads them from the key `sittings`."""
    return [asdict(each) for each in sittings]


def _listed(places: Sequence[tuple[str, int]]) -> str:
    by_task: dict[str, list[str]] = {}
    for task, seed in places:
        by_task.setdefault(task, []).append(str(seed))
    return "; ".join(f"{task}, seed {', '.join(seeds)}" for task, seeds in by_task.items())


def places_of(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """Return the (task, seed) of rows, each once."""
    return list(dict.fromkeys((row["task"], row["seed"]) for row in rows))
