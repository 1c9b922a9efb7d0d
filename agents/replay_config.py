"""The configuration of a replay, without anything that trains: `--print-config` needs no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.values import Preference


def replay_config(
    *,
    policy: str | Path | None,
    target_speedup: float | None,
    target_size_ratio: float | None,
    max_accuracy_drop: float | None,
    **settings: Any,
) -> RunConfig:
    """Return the configuration of a run that a policy drives towards targets; `settings` are those of `RunConfig`.

    Raises:
        InputError: a setting is unknown, of another type, or outside its range.
    """
    preference = Preference(
        target_speedup=target_speedup, target_size_ratio=target_size_ratio, max_accuracy_drop=max_accuracy_drop
    )
    try:
        return RunConfig(
            schedule="policy", policy=None if policy is None else str(policy), preference=preference, **settings
        )
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, each['loc']))} is {each['input']!r}: {each['msg']}" for each in error.errors())
        raise InputError(f"{'; '.join(faults)}.") from error
