"""Any error a user can act on, as one line."""

from __future__ import annotations

from pydantic import ValidationError


def one_line(error: BaseException) -> str:
    """Return an error's text without line breaks; a refused setting is named as the flag it came from."""
    refused = _validation_error(error)
    if refused is not None:
        faults = (_setting(each["loc"], each["msg"], each["input"]) for each in refused.errors(include_url=False))
        return "; ".join(faults) + "."
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return " ".join(str(error).split())


def _validation_error(error: BaseException | None) -> ValidationError | None:
    """Find pydantic's error, which the parser of flags wraps."""
    while error is not None and not isinstance(error, ValidationError):
        error = error.__cause__ or error.__context__
    return error


def _setting(place: tuple[int | str, ...], message: str, given: object) -> str:
    flag = "--" + ".".join(str(part).replace("_", "-") for part in place)
    message = message.removeprefix("Value error, ")
    if isinstance(given, dict):  # a group of settings that says itself which of them is wrong
        return f"{flag}: {message.rstrip('.')}"
    return f"{flag} is {given!r}; {'it ' + message[6:] if message.startswith('Input ') else message}"
