"""The `sec-rl` command: parses, calls, prints. Everything heavy is imported inside the commands."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from cyclopts import CycloptsError

# Each of the three adds its commands to the application.
from sec_rl.cli import artefacts, one_run, policies
from sec_rl.cli.application import app
from sec_rl.cli.config_file import config_sources
from sec_rl.cli.one_line import one_line
from sec_rl.errors import RunInterruptedError, SecRlError, is_out_of_memory
from sec_rl.launched import speaks

__all__ = ["app", "artefacts", "main", "one_run", "policies"]


def main() -> None:
    """Run the command line; exit 0 when it worked, 2 with one line on standard error when input was bad.

    Ctrl-C and SIGTERM end a command with 130 and one line, which holds the command that goes on, if one does.
    """
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        app.config = config_sources(sys.argv[1:])
        app(_taken(sys.argv[1:]), exit_on_error=False, print_error=False)
    except RunInterruptedError as interrupted:
        _stop(str(interrupted))
    except KeyboardInterrupt:
        _stop("Interrupted.")
    except (SecRlError, CycloptsError, OSError) as error:
        _refuse(one_line(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # Where a run had begun to train, it says more.
        _refuse(
            "Memory ran out. A smaller --encoder takes less of it, and so do lower --batch-size and --max-length."
        )


def _taken(words: list[str]) -> list[str]:
    """Return the words as cyclopts takes them: a lone `-`, standard input, is an option to it except after `--`."""
    if words.count("-") != 1 or "--" in words:
        return words
    return [*(word for word in words if word != "-"), "--", "-"]


def _refuse(line: str) -> None:
    _say(line)
    sys.exit(2)


def _stop(line: str) -> None:
    _say(line)
    sys.exit(130)


def _say(line: str) -> None:
    # Of several processes of one run, all end for the same reason, or because the first one did.
    if speaks():
        print(f"sec-rl: {line}", file=sys.stderr)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
