"""What keeps a value from being read as text, in words for a message."""

from __future__ import annotations

_MAX_SHOWN_CHARACTERS = 40


def text_fault(value: object) -> str | None:
    """Say why a value is no text that can be encoded, or None; an empty text can be."""
    if value is None:
        return "is missing"
    if not isinstance(value, str):
        return f"is {shown(value)}, not text"
    return encoding_fault(value)


def encoding_fault(text: str) -> str | None:
    """Find bytes that a reader could not decode (kept as lone surrogates), and surrogates of broken JSON escapes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            return f"is not valid UTF-8 (byte 0x{code - 0xDC00:02x})"
        return f"is not valid Unicode (lone surrogate U+{code:04X})"
    return None


def shown(value: object) -> str:
    """Return a short representation of a value for a message."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 3] + "..."
