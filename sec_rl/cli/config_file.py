"""`--config FILE.toml`: values for flags that were not given; flags win."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts.config import Dict

from sec_rl.errors import InputError

FLAG = "--config"


def config_sources(words: Sequence[str]) -> tuple[Dict, ...]:
    """Return where a command's values come from besides its flags.

    Args:
        words: the command line, the command first.

    Returns:
        one source if `--config` is among the words, else none.

    Raises:
        InputError: the file cannot be read, or is not TOML.
    """
    path = _path(words)
    if path is None:
        return ()
    return (Dict({words[0]: read_config(path)}, source=str(path)),)


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file; `config.toml` of a run folder is one.

    Raises:
        InputError: it cannot be read, or is not TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Configuration {str(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise InputError(f"Configuration {str(path)!r} is not TOML: {error}.") from error
    # What a run adds about itself is no setting.
    values.pop("resolved", None)
    return values


def _path(words: Sequence[str]) -> Path | None:
    if "--" in words:
        words = words[: list(words).index("--")]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(FLAG + "="):
            return Path(word[len(FLAG) + 1 :])
        if word == FLAG and following:
            return Path(following)
    return None
