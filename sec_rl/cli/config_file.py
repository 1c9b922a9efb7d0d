"""`--config FILE`, TOML or YAML: values for flags that were not given; flags win.

One file may serve many tasks: what stands in the table `tasks.NAME` is for the task of that name, and wins over the
rest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclopts.config import Dict

from sec_rl.errors import InputError

FLAG = "--config"
YAML_ENDINGS = (".yaml", ".yml")
_MOST_BYTES = 100_000


def config_sources(words: Sequence[str]) -> tuple[Dict, ...]:
    """Return where a command's values come from besides its flags.

    Args:
        words: the command line, the command first.

    Returns:
        one source if `--config` is among the words, else none.

    Raises:
        InputError: the file cannot be read, or is neither TOML nor YAML.
    """
    named = _value(words, FLAG)
    if named is None:
        return ()
    path = Path(named)
    values = for_task(read_config(path), _value(words, "--task"), path)
    return (Dict({words[0]: values}, source=str(path)),)


def for_task(values: dict[str, Any], task: str | None, path: Path) -> dict[str, Any]:
    """Return a configuration with its tables of tasks resolved: what stands in `tasks.NAME` wins for that task.

    Args:
        values: as read; without a table `tasks` they are returned as they are.
        task: as named on the command line; None: the file names it.
        path: of the file, for messages.

    Raises:
        InputError: `tasks` is not a table of tables.
    """
    tables = values.pop("tasks", {})
    if not (isinstance(tables, dict) and all(isinstance(table, dict) for table in tables.values())):
        raise InputError(f"Configuration {str(path)!r}: 'tasks' holds a table per task, such as 'questions'.")
    named = task or values.get("task")
    # What is no name is refused where the values are checked.
    return _merged(values, tables.get(named, {}) if isinstance(named, str) else {})


def _merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file: YAML where its name ends so, else TOML; `config.toml` of a run folder is one.

    Raises:
        InputError: it cannot be read, is too large, or is not what its name says.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"Configuration {str(path)!r} cannot be read: {error.strerror}.") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"Configuration {str(path)!r} is larger than {_MOST_BYTES} bytes; nothing was read.")
    language = "plain YAML" if path.suffix.lower() in YAML_ENDINGS else "TOML"
    try:
        values = _parse(data.decode("utf-8"), language)
    except (ValueError, RecursionError) as error:  # not that language, or not UTF-8
        raise InputError(f"Configuration {str(path)!r} is not {language}: {error}.") from error
    # What a run adds about itself is no setting.
    values.pop("resolved", None)
    return values


def _parse(text: str, language: str) -> dict[str, Any]:
    if language == "TOML":
        return tomllib.loads(text)
    from sec_rl.cli.yaml_file import parse_yaml

    return parse_yaml(text, _MOST_BYTES)


def _value(words: Sequence[str], flag: str) -> str | None:
    """Return what a flag is given among the words of a command; None: it is not."""
    if "--" in words:
        words = words[: list(words).index("--")]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(flag + "="):
            return word[len(flag) + 1 :]
        if word == flag and following:
            return following
    return None
