"""SIGKILL while checkpoints are saved, and disks that fill up while one is."""

from __future__ import annotations

import logging
import os
import resource
import select
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.children import exit_code, fork, kill
from benchmarks.faults.row import Row
from sec_rl.agents.checkpoint import load_state, save_state
from sec_rl.errors import DiskError, InputError

# Kills in one folder, one after the other: what one left behind meets the next.
_KILLS_PER_FOLDER = 20
# Between two saves, so that there is a between to hit.
_PAUSE_SECONDS = 0.01


def state_of(number: int) -> dict[str, Any]:
    """Return the state with a number: half a megabyte that anyone can write again, bit for bit."""
    generator = np.random.default_rng(number)
    weights = {name: generator.standard_normal((128, 256)) for name in ("first", "second")}
    return {"weights": weights, "generator": generator.bit_generator.state, "number": number}


def is_state(state: dict[str, Any]) -> bool:
    """Return whether a state is, bit for bit, the one with its number."""
    wanted = state_of(int(state["number"]))
    same = all(np.array_equal(state["weights"][name], value) for name, value in wanted["weights"].items())
    return same and state["generator"] == wanted["generator"]


def kills(count: int, folder: Path, seed: int) -> tuple[Row, Row]:
    """Kill a process that saves without end; aim at the save and at the time between, in turns.

    Returns:
        a row for kills inside of a save, and one for the others, by where they really hit.
    """
    generator = np.random.default_rng(seed)
    rows = {True: Row("SIGKILL inside a save", 0), False: Row("SIGKILL between saves", 0)}
    logging.disable(logging.WARNING)  # a save that was cut short is passed over and said, thousands of times here
    for index in range(count):
        place = folder / f"kills-{seed}-{index // _KILLS_PER_FOLDER}"
        if index % _KILLS_PER_FOLDER == 0:
            shutil.rmtree(place, ignore_errors=True)
        inside, finished = _kill_one(place, generator, aim_inside=index % 2 == 0)
        lost = corrupted = False
        problems = list(rows[inside].problems)
        try:
            state = load_state(place)
            lost, corrupted = int(state["number"]) < finished, not is_state(state)
        except InputError as error:
            lost = True
            problems.append(str(error))
        before = rows[inside]
        rows[inside] = replace(
            before,
            injected=before.injected + 1,
            lost=before.lost + lost,
            corrupted=before.corrupted + corrupted,
            problems=problems,
        )
        if index % _KILLS_PER_FOLDER == _KILLS_PER_FOLDER - 1:
            shutil.rmtree(place)
    logging.disable(logging.NOTSET)
    return rows[True], rows[False]


def _kill_one(place: Path, generator: np.random.Generator, *, aim_inside: bool) -> tuple[bool, int]:
    """Start, wait for two saves, kill; return whether a save was under way, and the last number that was finished."""
    reader, writer = os.pipe()
    first = 1 + (int(load_state(place)["number"]) if place.exists() and any(place.glob("state-*.json")) else 0)

    def save_without_end() -> None:
        for number in range(first, first + 10_000):
            state = state_of(number)
            time.sleep(_PAUSE_SECONDS)
            os.write(writer, f"b{number}\n".encode())
            save_state(place, number, state)
            os.write(writer, f"e{number}\n".encode())

    child = fork(save_without_end)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as stream:
        said, began, took = b"", 0.0, 0.01
        while said.count(b"e") < 2 or not said.endswith(b"\n") or _last(said)[:1] != (b"b" if aim_inside else b"e"):
            said += stream.read(64)
            now = time.perf_counter()
            if _last(said)[:1] == b"b":
                began = now
            elif began:
                took = now - began
        time.sleep(float(generator.uniform(0.0, 0.9 * took if aim_inside else _PAUSE_SECONDS)))
        kill(child)
        while select.select([stream], [], [], 0.0)[0] and (more := stream.read(4096)):
            said += more
    finished = [int(word[1:]) for word in said.split() if word.startswith(b"e")]
    return _last(said).startswith(b"b"), max(finished, default=first - 1)


def _last(said: bytes) -> bytes:
    words = said.split()
    return words[-1] if words else b""


def full_disks(count: int, folder: Path) -> Row:
    """Save a second state where files may grow to so many bytes only, from none to nearly all that it takes."""
    lost, problems = 0, []
    whole = max(path.stat().st_size for path in _saved(folder / "whole").iterdir())
    for index in range(count):
        place = _saved(folder / "disk")
        # The card comes last: limits below its size let even that fail, all others end within the tensors.
        limit = whole * index // count
        code = exit_code(fork(lambda place=place, limit=limit: _save_within(place, limit)))  # type: ignore[misc]
        if code:
            problems.append(f"At {limit} bytes the error named no path or no free space.")
        state = load_state(place)
        if state["number"] != 1 or not is_state(state):
            lost += 1
        left = sorted(path.name for path in place.iterdir() if path.suffix == ".new")
        if left:
            problems.append(f"At {limit} bytes {left} was left behind.")
    for name in ("whole", "disk"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return Row("disk full while a state is saved", count, lost, len(problems), {"largest_bytes": whole}, problems)


def _saved(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    save_state(place, 1, state_of(1))
    return place


def _save_within(place: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        save_state(place, 2, state_of(2))
    except DiskError as error:
        if str(place) in str(error) and "bytes are free" in str(error):
            return
        raise
    raise RuntimeError("it was saved")
