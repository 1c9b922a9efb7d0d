"""The dense model that a run is compared with: a run of its own with the same passes, labels and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sec_rl.backends.bert import BertSession
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.run_folder import read_result

_TRAINED = (
    "test_accuracy",
    "validation_accuracy",
    "macro_f1",
    "perplexity",
    "label_fraction",
    "example_passes",
    "train_seconds",
)
# What must be the same in both runs, see `check_same`.
_CHECKED = ("budget", "task_fingerprint")


def read_reference(config: RunConfig) -> dict[str, Any] | None:
    """Read the run that accuracy is to be compared with, if one is named."""
    if config.dense_reference in ("none", "train"):
        return None
    result = read_result(Path(config.dense_reference))
    wanted = {"task": config.task, "seed": config.seed, "encoder": config.encoder, "schedule": "dense"}
    for key, value in wanted.items():
        if result.get(key) != value:
            raise InputError(
                f"Dense reference {config.dense_reference!r} has {key} {result.get(key)!r}; this run has {value!r}."
            )
    exact = result.get("fp32")
    missing = [name for name in _CHECKED if name not in result]
    missing += [f"fp32.{name}" for name in _TRAINED if not isinstance(exact, dict) or name not in exact]
    if missing:
        raise InputError(f"Dense reference {config.dense_reference!r} lacks {missing[0]}; train it again.")
    return result


def check_same(reference: dict[str, Any], session: BertSession) -> None:
    """Refuse a reference of another budget or of other rows, before anything is trained.

    Raises:
        InputError: it is one.
    """
    if reference["budget"] != session.budget:
        raise InputError(
            f"The dense reference had {reference['budget']} example passes to spend; this run has {session.budget}."
        )
    if reference["task_fingerprint"] != session.task.fingerprint:
        raise InputError(
            f"The dense reference was trained on other rows of task {session.config.task!r}: its files, or the "
            "columns that were read, are not those of this run."
        )


def dense_side(session: BertSession, reference: dict[str, Any] | None, latency: dict[str, Any]) -> dict[str, Any]:
    """Return the dense model's side of the result: size and latency always, accuracy where it was trained."""
    values = {name: None if reference is None else reference["fp32"][name] for name in _TRAINED}
    return values | {
        "parameters": session.dense_bytes // 4,
        "size_bytes": session.dense_bytes,
        "latency_ms": latency,
    }
