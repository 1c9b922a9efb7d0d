"""Plain readers of csv and jsonl that keep every row's number and repair nothing."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from pathlib import Path

from sec_rl.errors import InputError
from sec_rl.readable import shown
from sec_rl.tasks.columns import AS_TOLD, Columns, find_columns
from sec_rl.tasks.rows import RawRows

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# What pandas, and with it `datasets`, takes for a missing value: the word may be meant, most often it is not.
MISSING_MARKS = frozenset(
    (
        *("#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null"),
        *("None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    )
)
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_csv(path: Path, asked: Columns = AS_TOLD) -> RawRows:
    """Read a comma-separated file with a header; labels that are all digits become integers.

    Args:
        path: of the file.
        asked: columns that the user named.

    Raises:
        InputError: the file cannot be opened.
    """
    text = _decoded(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    # Of the module, not of a reader: a long text is sound, and what is too long for the encoder is cut.
    usual = csv.field_size_limit(max(len(text), 1))
    problems: list[str] = []
    places: list[str] = []
    rows: list[list[str]] = []
    header: list[str] = []
    start = 1
    try:
        for fields in reader:
            line, start = start, reader.line_num + 1
            if not header:
                header = fields
            elif len(fields) == len(header):
                rows.append(fields)
                places.append(f"row {len(rows) + len(problems)} (line {line})")
            elif fields:
                where = f"{path.name} row {len(rows) + len(problems) + 1} (line {line})"
                problems.append(f"{where} has {len(fields)} fields, the header has {len(header)}")
    except csv.Error as error:
        problems.append(f"{path.name} line {start} is no csv: {error}")
    finally:
        csv.field_size_limit(usual)
    found = find_columns(path.name, header, asked)
    if isinstance(found, str):
        return RawRows(path.name, problems=(found,))
    columns = {name: [row[header.index(column)] for row in rows] for name, column in found.items()}
    for index, place in enumerate(places):
        for name, values in columns.items():
            where, value = f"{path.name} {place} column {found[name]!r}", values[index]
            if value in MISSING_MARKS:
                problems.append(f"{where} is {shown(value)}, which csv readers take for a missing value")
            elif name == "label" and _DECIMAL.fullmatch(value.strip()):
                problems.append(f"{where} is {shown(value)}; labels are integers or names")
    labels = [_integer_or_name(label) for label in columns["label"]]
    return RawRows(
        path.name,
        columns["text"],
        columns.get("text_pair"),
        labels,
        places,
        tuple(problems),
        ignored=tuple(name for name in header if name not in found.values()),
        columns=found,
    )


def read_jsonl(path: Path, asked: Columns = AS_TOLD) -> RawRows:
    """Read a file with a JSON object per line; empty lines count for nothing.

    Args:
        path: of the file.
        asked: columns that the user named.

    Raises:
        InputError: the file cannot be opened.
    """
    problems: list[str] = []
    places: list[str] = []
    rows: list[dict[str, object]] = []
    seen: dict[str, None] = {}
    # Not splitlines(): JSON strings may hold U+2028 and its like as they are.
    for line, text in enumerate(_decoded(path).split("\n"), start=1):
        if not text.strip():
            continue
        place = f"row {len(rows) + len(problems) + 1} (line {line})"
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path.name} {place} is no JSON: {str(error).splitlines()[0]}")
            continue
        if not isinstance(row, dict):
            problems.append(f"{path.name} {place} is no JSON object")
            continue
        rows.append(row)
        places.append(place)
        seen.update(dict.fromkeys(row))
    if not rows:
        return RawRows(path.name, problems=tuple(problems))
    found = find_columns(path.name, list(seen), asked)
    if isinstance(found, str):
        return RawRows(path.name, problems=(found, *problems))
    return RawRows(
        path.name,
        [row.get(found["text"]) for row in rows],
        [row.get(found["text_pair"]) for row in rows] if "text_pair" in found else None,
        [row.get(found["label"]) for row in rows],
        places,
        tuple(problems),
        ignored=tuple(name for name in seen if name not in found.values()),
        columns=found,
    )


def _decoded(path: Path) -> str:
    """Return a file's text; bytes that are no UTF-8 stay as lone surrogates, which the row checks name."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    if data.startswith(_WIDE):
        raise InputError(f"{str(path)!r} is UTF-16, not UTF-8; save it as UTF-8.")
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _integer_or_name(label: str) -> int | str:
    text = label.strip()
    return int(text) if _INTEGER.fullmatch(text) and len(text) < 19 else text
