"""Tasks in a folder: `train`, `validation` and `test` as parquet, csv or jsonl.

The files are read by Arrow's parsers through `datasets`, which repair silently: a short row shifts its text, "NA"
becomes a missing value, a missing label turns integers into floats. So csv and jsonl are first read plainly, row by
row, and every bad row is named before `datasets` sees a clean table.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset
from pyarrow import parquet

from sec_rl.errors import InputError, unknown_name
from sec_rl.tasks.checks import raise_if_bad

SUFFIXES = (".parquet", ".csv", ".jsonl")
_PLACES = {".parquet": "row", ".csv": "line", ".jsonl": "line"}


def find_split_files(folder: Path) -> dict[str, Path]:
    """Return the file of every split that is there.

    Raises:
        InputError: there is no training file, or a split stands there twice.
    """
    found: dict[str, Path] = {}
    for split in ("train", "validation", "test"):
        files = [
            folder / f"{split}{suffix}" for suffix in SUFFIXES if (folder / f"{split}{suffix}").is_file()
        ]
        if len(files) > 1:
            raise InputError(
                f"Task folder {str(folder)!r} has two files for {split}: {files[0].name}, {files[1].name}."
            )
        if files:
            found[split] = files[0]
    if "train" not in found:
        raise InputError(f"Task folder {str(folder)!r} has no train.parquet, train.csv or train.jsonl.")
    return found


def read_rows(path: Path) -> Dataset:
    """Read one file into columns `text`, optionally `text_pair`, and `label` (all strings, or integer labels).

    Raises:
        InputError: the file cannot be read, lacks a column, or has bad rows; each bad row is named.
    """
    try:
        numbered = list(_numbered_rows(path))
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path.name}: line {line} is not valid UTF-8 (byte {error.object[error.start]:#04x})."
        ) from error
    except (OSError, csv.Error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} cannot be read: {error}.") from error
    if not numbered:
        raise InputError(f"{path.name} has no rows.")
    place = _PLACES[path.suffix]
    columns = list(numbered[0][1])
    for needed in ("text", "label"):
        if needed not in columns:
            hint = unknown_name("column", needed, columns)
            raise InputError(f"{path.name} has no column {needed!r}. {hint}")
    has_pair = "text_pair" in columns
    problems: list[str] = []
    for number, row in numbered:
        where = f"{path.name} {place} {number}"
        if None in row or (path.suffix == ".csv" and None in row.values()):
            problems.append(f"{where} has another number of fields than the header")
            continue
        for column in ("text", "text_pair") if has_pair else ("text",):
            value = row.get(column)
            if not isinstance(value, str) or not value.strip():
                problems.append(f"{where} column {column!r} is empty or no text")
        label = row.get("label")
        if label is None or (isinstance(label, str) and not label.strip()) or isinstance(label, float):
            problems.append(f"{where} column 'label' is missing or no label ({label!r})")
        elif isinstance(label, int) and label < 0:
            problems.append(f"{where} column 'label' is {label}; labels start at 0")
    raise_if_bad(problems, path.name)
    table: dict[str, list[Any]] = {"text": [row["text"] for _, row in numbered]}
    if has_pair:
        table["text_pair"] = [row["text_pair"] for _, row in numbered]
    labels = [row["label"] for _, row in numbered]
    kinds = {type(label) for label in labels}
    if not kinds <= {int} and not kinds <= {str}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"{path.name}: column 'label' mixes {names}; use integers or strings.")
    if kinds == {str} and all(label.strip().lstrip("+").isdigit() for label in labels):
        labels = [int(label) for label in labels]
    table["label"] = labels
    return Dataset.from_dict(table)


def read_label_names(folder: Path) -> tuple[str, ...] | None:
    """Return the names of integer labels from `info.json`, or None without that file.

    Raises:
        InputError: the file is there but holds no list of names under "labels".
    """
    path = folder / "info.json"
    if not path.is_file():
        return None
    try:
        names = json.loads(path.read_text(encoding="utf-8")).get("labels")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{str(path)!r} is no JSON object: {error}.") from error
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{str(path)!r}: 'labels' must be a list of names.")
    return tuple(names)


def _numbered_rows(path: Path) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Yield each row with the number a person finds it by."""
    if path.suffix == ".parquet":
        for number, row in enumerate(parquet.read_table(path).to_pylist(), start=1):
            yield number, row
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                yield reader.line_num, row
    else:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path.name} line {number} is no JSON: {error}.") from error
            if not isinstance(row, dict):
                raise InputError(f"{path.name} line {number} is no JSON object.")
            yield number, row
