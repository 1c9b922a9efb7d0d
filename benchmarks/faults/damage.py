"""Bits that flip, files that are cut, files that are gone: checkpoints and policies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults.row import Row
from benchmarks.faults.samples import KINDS
from benchmarks.faults.saving import is_state, state_of
from sec_rl.agents.checkpoint import load_state, save_state
from sec_rl.errors import InputError

Harm = Callable[[np.random.Generator, bytes], bytes | None]


def flip(generator: np.random.Generator, content: bytes) -> bytes:
    """Flip one bit."""
    place = int(generator.integers(8 * len(content)))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def cut(generator: np.random.Generator, content: bytes) -> bytes:
    """Cut off the end, one byte at the least."""
    return content[: int(generator.integers(len(content)))]


def remove(_generator: np.random.Generator, _content: bytes) -> None:
    """Take the file away."""


HARMS: dict[str, Harm] = {"one bit flipped": flip, "truncated": cut, "missing": remove}


def damage(name: str, count: int, folder: Path, seed: int) -> Row:
    """Do one harm to every file of two states and a policy in turns, and read.

    A damaged newest state must give way to the one before, a damaged older one must change nothing, and a damaged
    policy must be refused.
    """
    generator, harm = np.random.default_rng(seed), HARMS[name]
    states, policy = folder / "states", folder / "policy"
    policy.mkdir(parents=True, exist_ok=True)
    KINDS["policy"].make(policy)
    for number in (1, 2):
        save_state(states, number, state_of(number))
    files = sorted(states.iterdir()) + sorted(policy.iterdir())
    sound = {path: path.read_bytes() for path in files}
    lost = corrupted = 0
    logging.disable(logging.WARNING)  # a state that is passed over is what is wanted here
    try:
        for index in range(count):
            path = files[index % len(files)]
            spoilt = harm(generator, sound[path])
            path.unlink() if spoilt is None else path.write_bytes(spoilt)
            if path.parent == policy:
                corrupted += not _refused(policy)
            else:
                try:
                    state = load_state(states)
                    wanted = 1 if "2" in path.stem else 2
                    corrupted += state["number"] != wanted or not is_state(state)
                except InputError:
                    lost += 1
            path.write_bytes(sound[path])
    finally:
        logging.disable(logging.NOTSET)
    for path in files:
        path.unlink()
    return Row(f"{name}: states and policies", count, lost, corrupted)


def _refused(policy: Path) -> bool:
    try:
        KINDS["policy"].read(policy)
    except InputError:
        return True
    return False
