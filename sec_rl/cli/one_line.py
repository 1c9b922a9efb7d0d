"""Any error a user can act on, as one line."""

from __future__ import annotations

import difflib
import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def one_line(error: BaseException) -> str:
    """Return an error's text without line breaks; a refused setting is named as the flag it came from."""
    refused = _validation_error(error)
    if refused is not None:
        faults = (_setting(each) for each in refused.errors(include_url=False))
        return _ended("; ".join(faults))
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return " ".join(str(error).split())


def _ended(text: str) -> str:
    return text if text.endswith("?") else text + "."


def _validation_error(error: BaseException | None) -> ValidationError | None:
    """Find pydantic's error, which the parser of flags wraps."""
    while error is not None and not isinstance(error, ValidationError):
        error = error.__cause__ or error.__context__
    return error


def _setting(fault: ErrorDetails) -> str:
    flag = "--" + ".".join(str(part).replace("_", "-") for part in fault["loc"])
    message, given = fault["msg"].removeprefix("Value error, "), fault["input"]
    if isinstance(given, dict):  # a group of settings that says itself which of them is wrong
        return f"{flag}: {message.rstrip('.')}"
    nearest = _nearest(given, fault)
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    return f"{flag} is {given!r}; {'it ' + message[6:] if message.startswith('Input ') else message}{hint}"


def _nearest(given: object, fault: ErrorDetails) -> str | None:
    """Return the choice that a misspelt one may have meant."""
    if fault["type"] != "literal_error" or not isinstance(given, str):
        return None
    choices = re.findall(r"'([^']+)'", fault.get("ctx", {}).get("expected", ""))
    return next(iter(difflib.get_close_matches(given, choices, n=1)), None)
