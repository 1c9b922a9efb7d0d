"""Which process of a run this is: `torchrun` and `accelerate launch` say it in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sec_rl.errors import InputError


@dataclass(frozen=True)
class Launched:
    """The place of this process among those that were launched together.

    Attributes:
        index: from 0; the first one writes and speaks.
        count: of all processes, on all machines.
        here: of those on this machine.
    """

    index: int = 0
    count: int = 1
    here: int = 1


def launched() -> Launched:
    """Return the place of this process; alone if nothing launched it.

    Raises:
        InputError: the environment holds something else than a launcher writes.
    """
    words = [os.environ.get(name, default) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))]
    try:
        index, count = map(int, words)
        here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
    except ValueError as error:
        raise InputError(f"RANK and WORLD_SIZE hold {words}; a launcher writes whole numbers.") from error
    if not 0 <= index < count or here < 1:
        raise InputError(f"RANK is {index} and WORLD_SIZE {count}; the rank must lie in [0, {count - 1}].")
    return Launched(index, count, here)


def speaks() -> bool:
    """Return whether this process is the one that prints; where the environment makes no sense, each one is."""
    try:
        return launched().index == 0
    except InputError:
        return True
