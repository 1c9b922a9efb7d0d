"""Tasks in files: a folder of `train`, `validation` and `test` as parquet, csv or jsonl, or one such file.

Parquet carries its types and is read through `datasets`. Its csv and json readers repair silently (an extra field
shifts a row's text, "NA" becomes a missing value, one missing label turns all into floats) and stop at the first bad
byte without naming its row, so those two formats are parsed plainly, and every row keeps its number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sec_rl.errors import InputError
from sec_rl.files import leads_out, read_json
from sec_rl.tasks.columns import AS_TOLD, Columns
from sec_rl.tasks.read_parquet import read_parquet
from sec_rl.tasks.read_text import read_csv, read_jsonl
from sec_rl.tasks.rows import RawRows
from sec_rl.tasks.task import SPLITS

READERS: Mapping[str, Callable[[Path, Columns], RawRows]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".jsonl": read_jsonl,
}
# Names that other tools give the validation split; passing over such a file would cut another one from training.
_OTHER_NAMES = ("dev", "eval", "val", "valid")


def read_folder(folder: Path, asked: Columns = AS_TOLD) -> tuple[dict[str, RawRows], tuple[str, ...] | None]:
    """Read the split files of a folder, and the names of integer labels.

    Args:
        folder: of the task.
        asked: columns that the user named.

    Returns:
        rows per split, ``"train"`` first, and the names from ``info.json`` or, without that file, from parquet
        files that carry them; None where nothing names the labels.

    Raises:
        InputError: the training file is missing, a split stands there twice or under another name, or a file
            cannot be read at all; bad rows are left to `row_problems`.
    """
    splits = {split: READERS[path.suffix](path, asked) for split, path in find_split_files(folder).items()}
    return splits, read_label_names(folder)


def read_file(path: Path, asked: Columns = AS_TOLD) -> RawRows:
    """Read a task that is one file, from which every split is cut.

    Raises:
        InputError: the file's name ends in none of the known formats, or it cannot be read at all.
    """
    if path.suffix not in READERS:
        raise InputError(f"The task {str(path)!r} is no {', '.join(READERS)} file.")
    return READERS[path.suffix](path, asked)


def find_split_files(folder: Path) -> dict[str, Path]:
    """Return the file of every split that is there, training first.

    Raises:
        InputError: there is no training file, or a split stands there twice or under another name.
    """
    found: dict[str, Path] = {}
    for split in SPLITS:
        files = [path for suffix in READERS if (path := folder / f"{split}{suffix}").is_file()]
        if len(files) > 1:
            names = " and ".join(repr(file.name) for file in files)
            raise InputError(f"The task folder {str(folder)!r} has two files for {split}: {names}.")
        if files:
            if leads_out(files[0]):
                raise InputError(
                    f"{str(files[0])!r} is a link out of the task folder; copy the file, or link the folder."
                )
            found[split] = files[0]
    if "train" not in found:
        there = sorted(path.name for path in folder.iterdir())[:8]
        raise InputError(
            f"The task folder {str(folder)!r} has no train.parquet, train.csv or train.jsonl; "
            f"it holds {', '.join(map(repr, there)) or 'nothing'}."
        )
    if "validation" not in found:
        for path in (folder / f"{name}{suffix}" for name in _OTHER_NAMES for suffix in READERS):
            if path.is_file():
                raise InputError(
                    f"The task folder {str(folder)!r} has {path.name!r}; name it 'validation{path.suffix}'."
                )
    return found


def read_label_names(folder: Path) -> tuple[str, ...] | None:
    """Return the names of integer labels from ``info.json`` (key "labels"), or None without them.

    Raises:
        InputError: the file is there but no JSON object, or its "labels" are no list of distinct names.
    """
    path = folder / "info.json"
    if not path.is_file():
        return None
    info = read_json(path)
    names = info.get("labels")
    if names is None:
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names)
    if not is_list or len(set(names)) < len(names) or len(names) < 2:
        raise InputError(f"{str(path)!r}: 'labels' must be a list of at least two distinct names.")
    return tuple(names)
