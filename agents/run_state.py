"""Interrupting a run and going on with it: what is saved, how often, and what must be the same."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sec_rl.agents.checkpoint import has_state, load_state, save_state
from sec_rl.backends.bert import BertSession
from sec_rl.config import RunConfig
from sec_rl.envs.drive import Drive
from sec_rl.errors import (
    DiskError,
    InputError,
    OutOfMemoryError,
    RunFolderError,
    RunInterruptedError,
    is_out_of_memory,
)
from sec_rl.files import write_atomically
from sec_rl.run_folder import CONFIG
from sec_rl.training.divergence import TrainingDivergedError
from sec_rl.training.replicas import ReplicaLostError

CHECKPOINTS, FAILURE = "checkpoints", "failure.txt"
# A state holds three copies of every weight. Saved once a minute it costs a few percent of a run's time; what a
# kill loses is trained again, and comes out the same.
SAVE_SECONDS = 60.0


@dataclass
class Saver:
    """Saves a run between segments, once a minute at most.

    Attributes:
        folder: of the run.
        about: JSON-ready values that go with every state.
        seconds: time that saving has taken so far.
    """

    folder: Path
    about: Mapping[str, Any]
    seconds: float = 0.0
    _last: float = field(default_factory=time.perf_counter)

    def after_segment(self, session: BertSession, drive: Drive, loop_seconds: float) -> None:
        """Save if it is time; `loop_seconds` is how long the loop has run."""
        started = time.perf_counter()
        if started - self._last < SAVE_SECONDS or drive.done:
            return
        state = {"session": session.state(), "drive": drive.state(), "loop_seconds": loop_seconds, **self.about}
        save_state(self.folder / CHECKPOINTS, drive.history[-1].segment, state)
        self._last = time.perf_counter()
        self.seconds += self._last - started


def saved_state(folder: Path) -> dict[str, Any] | None:
    """Return the newest whole state of an interrupted run; None if it was interrupted before the first one.

    Raises:
        InputError: there are states, and all of them are damaged.
    """
    return load_state(folder / CHECKPOINTS) if has_state(folder / CHECKPOINTS) else None


@contextlib.contextmanager
def how_to_go_on(folder: Path, drive: Drive) -> Iterator[None]:
    """Turn what ends a run early into one line that says how far it came, and how it goes on.

    Raises:
        RunInterruptedError: Ctrl-C or SIGTERM came.
        DiskError: something could not be written.
        OutOfMemoryError: memory ran out.
        ReplicaLostError: a process that trained along is gone.
        TrainingDivergedError: the run gave up; `failure.txt` in the folder holds why.
    """
    (folder / FAILURE).unlink(missing_ok=True)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        last = drive.history[-1]
        raise RunInterruptedError(
            f"Interrupted after segment {last.segment} of {last.n_segments}; to go on: {resume_command(folder)}"
        ) from interrupt
    except DiskError as error:
        raise DiskError(f"{error} With more room, the run goes on: {resume_command(folder)}") from error
    except ReplicaLostError as error:
        raise ReplicaLostError(f"{error} Started as before, it goes on: {resume_command(folder)}") from error
    except TrainingDivergedError as error:
        write_atomically(folder / FAILURE, f"{error}\n")
        raise
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        last = drive.history[-1]
        raise OutOfMemoryError(
            f"Memory ran out after segment {last.segment} of {last.n_segments}; --batch-size and --max-length decide "
            f"how much a step takes. With more memory, the run goes on: {resume_command(folder)}"
        ) from error


def drop_states(folder: Path) -> None:
    """Remove the states of a finished run."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def check_config(folder: Path, config: RunConfig) -> dict[str, Any]:
    """Compare a configuration with the one that a run was started with.

    Returns:
        what the run resolved when it started: `passes`, `precision`, `machine`.

    Raises:
        RunFolderError: there is no run.
        InputError: a setting differs; all that differ are named.
    """
    path = folder / CONFIG
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        resolved = values.pop("resolved")
        started = RunConfig(**values)
    except FileNotFoundError as error:
        raise RunFolderError(f"{str(folder)!r} holds no run to resume.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{str(path)!r} is not the configuration of a run: {error}.") from error
    before, now = started.model_dump(), config.model_dump()
    changed = [
        f"{name.replace('_', '-')} {before[name]!r} -> {now[name]!r}" for name in now if now[name] != before[name]
    ]
    if changed:
        raise InputError(
            f"{str(folder)!r} was started with other settings and cannot be resumed: {'; '.join(changed)}."
        )
    return dict(resolved)


def resume_command(folder: Path) -> str:
    """Return the command that goes on with a run."""
    return f"sec-rl run --config {shlex.quote(str(folder / CONFIG))} --out {shlex.quote(str(folder))} --resume"
