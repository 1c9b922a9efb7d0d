"""The command that goes on with what Ctrl-C or SIGTERM stopped."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator

from sec_rl.errors import RunInterruptedError


@contextlib.contextmanager
def go_on_with(kept: Callable[[], bool], *added: str) -> Iterator[None]:
    """Turn an interrupt into one line that holds the command as it was typed, and what is to be added to it.

    Args:
        kept: asked after the interrupt: whether there is something to go on with.
        added: flags of the command that goes on.

    Raises:
        RunInterruptedError: Ctrl-C or SIGTERM came, and something was kept.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if not kept():
            raise
        words = [word for word in sys.argv[1:] if word not in ("--overwrite", *added)]
        command = shlex.join(["sec-rl", *words, *added])
        raise RunInterruptedError(f"Interrupted; to go on: {command}") from interrupt
