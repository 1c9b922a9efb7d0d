"""The folder a training writes: its policy, its log of progress, its state.

::

    OUT/policy.json, policy.safetensors   the best policy, when the training is over
    OUT/progress.jsonl                    a line per evaluation
    OUT/tensorboard/                      curves
    OUT/training/                         configuration and newest states, for `--resume`
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sec_rl.agents.policy import CARD, TENSORS
from sec_rl.errors import InputError, RunFolderError
from sec_rl.files import append_line, hold_folder, read_json, write_atomically
from sec_rl.run_folder import rewind_lines

PROGRESS, TENSORBOARD, TRAINING = "progress.jsonl", "tensorboard", "training"
_CONFIG = "config.json"


@dataclass(frozen=True)
class Progress:
    """One evaluation.

    Attributes:
        steps: environment steps so far, `total_steps`: of the training at most.
        seconds: of training so far, evaluations included.
        steps_per_second: while learning, without evaluations.
        seconds_left: to `total_steps`; None before the first step.
        mean_return: of the policy as it stands.
        difference: mean return minus that of the best fixed schedule in the same episodes, in [low, high] at 95 %.
        improved: whether it is the best so far.
    """

    steps: int
    total_steps: int
    seconds: float
    steps_per_second: float
    seconds_left: float | None
    mean_return: float
    difference: float
    low: float
    high: float
    improved: bool


@contextlib.contextmanager
def open_training_folder(folder: Path, *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Create the folder of a training, or open the one to go on with, and hold it.

    Raises:
        RunFolderError: another process holds it, it holds a policy or a training that is neither to be resumed nor
            replaced, or something else.
        InputError: there is nothing to resume.
    """
    with hold_folder(folder, "Training folder"):
        _prepare(folder, resume=resume, overwrite=overwrite)
        yield folder


def keep_config(folder: Path, config: Mapping[str, Any], *, resume: bool) -> None:
    """Write down what a training was started with, or refuse to go on with something else.

    Args:
        folder: of the training.
        config: JSON-ready.
        resume: compare instead of writing.

    Raises:
        InputError: a setting differs from that of the start.
    """
    path = folder / TRAINING / _CONFIG
    if not resume:
        path.parent.mkdir(parents=True)
        write_atomically(path, json.dumps(config, indent=1) + "\n")
        return
    known = read_json(path)
    asked = json.loads(json.dumps(config))
    for key in sorted({*known, *asked}):
        if known.get(key) != asked.get(key):
            raise InputError(
                f"{str(folder)!r} was started with {key.replace('_', ' ')} {known.get(key)!r}; "
                f"it cannot be resumed with {asked.get(key)!r}."
            )


def append_progress(folder: Path, progress: Progress) -> None:
    """Append one evaluation to `progress.jsonl`."""
    append_line(folder / PROGRESS, asdict(progress))


def rewind_progress(folder: Path, steps: int) -> None:
    """Take out what was written after the state that a training goes on from."""
    rewind_lines(folder / PROGRESS, "steps", steps)


def _prepare(folder: Path, *, resume: bool, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{str(folder)!r} is a file; a training needs a folder.")
    finished, started = (folder / CARD).exists(), (folder / TRAINING / _CONFIG).exists()
    if resume:
        if finished:
            raise RunFolderError(f"{str(folder)!r} holds a finished policy; there is nothing to resume.")
        if not started:
            raise InputError(f"{str(folder)!r} holds no training to resume.")
        return
    if finished or started:
        if not overwrite:
            what = "a finished policy; give another folder or --overwrite"
            what = what if finished else "a training that was interrupted; give --resume, or --overwrite"
            raise RunFolderError(f"{str(folder)!r} holds {what}.")
        for name in (CARD, TENSORS, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        for name in (TENSORBOARD, TRAINING):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif folder.exists() and any(folder.iterdir()):
        raise RunFolderError(f"{str(folder)!r} is not empty and no training; nothing was touched.")
    folder.mkdir(exist_ok=True)
