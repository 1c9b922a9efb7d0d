"""Which columns of a table hold the texts and the label: as asked for, as named, or told by their usual names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sec_rl.readable import shown

COLUMNS = ("text", "text_pair", "label")
_NEEDED = ("text", "label")

# Columns are told by their names, pairs first: "question" stands alone in TREC and beside "sentence" in QNLI.
PAIR_COLUMNS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
    ("sentence_a", "sentence_b"),
)
TEXT_COLUMNS = (
    *("text", "sentence", "question", "review", "review_body", "content", "tweet", "utterance", "query"),
    *("comment", "comment_text", "document", "title"),
)
LABEL_COLUMNS = (
    *("label", "labels", "coarse_label", "label_coarse", "intent", "category", "class", "target", "sentiment"),
    *("emotion", "stars", "rating"),
)


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns; None: `text`, `text_pair` and `label`, or what is told by its name.

    Attributes:
        text: of the texts; `text_pair`: of the second ones of pairs; `label`: of the labels.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


AS_TOLD = Columns()


def find_columns(source: str, header: Sequence[str], asked: Columns = AS_TOLD) -> dict[str, str] | str:
    """Find the columns of a table.

    What is asked for counts first, then columns that are called `text`, `text_pair` and `label`; only what is still
    missing is told by its usual name. A pair is told where no text is named.

    Args:
        source: name of the table, for messages.
        header: its columns.
        asked: what the user named.

    Returns:
        the table's name of `text`, `label` and, for pairs, `text_pair`; or one line that says what is wrong.
    """
    wanted = {name: column for name, column in asdict(asked).items() if column is not None}
    named = {name: name for name in COLUMNS if name in header}
    known = named | wanted
    told = ({} if "text" in known else _tell_texts(header)) | _tell_label(header)
    found = told | known
    columns = {name: found[name] for name in COLUMNS if name in found}
    for name in _NEEDED:
        if name not in columns:
            return _missing(source, name, header)
    for column in columns.values():
        if column not in header:
            return _missing(source, column, header)
        if header.count(column) > 1:
            return f"{source} has {header.count(column)} columns {column!r}"
    if len(set(columns.values())) < len(columns):
        return f"{source}: one column cannot be two of text, text_pair and label ({', '.join(columns.values())})"
    return columns


def told_note(columns: Mapping[str, str], asked: Columns = AS_TOLD) -> str | None:
    """Return a note on the columns that were told by their names, or None."""
    told = [f"{old!r} is {new}" for new, old in columns.items() if old != new and getattr(asked, new) is None]
    return f"Columns told by their names: {', '.join(told)}." if told else None


def _tell_texts(header: Sequence[str]) -> dict[str, str]:
    original = _originals(header)
    for first, second in PAIR_COLUMNS:
        if first in original and second in original:
            return {"text": original[first], "text_pair": original[second]}
    return next(({"text": original[name]} for name in TEXT_COLUMNS if name in original), {})


def _tell_label(header: Sequence[str]) -> dict[str, str]:
    original = _originals(header)
    return next(({"label": original[name]} for name in LABEL_COLUMNS if name in original), {})


def _originals(header: Sequence[str]) -> dict[str, str]:
    return {column.casefold(): column for column in reversed(header)}


def _missing(source: str, column: str, header: Sequence[str]) -> str:
    near = difflib.get_close_matches(column.casefold(), [each.casefold() for each in header], n=1)
    original = next((each for each in header if near and each.casefold() == near[0]), None)
    hint = f"; is it {original!r}?" if original else "; --text, --text-pair and --label name columns"
    listed = ", ".join(shown(each) for each in header[:8]) or "none"
    return f"{source} has no column {column!r} (its columns: {listed}){hint}"
