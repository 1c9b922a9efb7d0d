"""Tasks from the Hugging Face hub, or from a local folder in the hub's layout."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sec_rl.errors import InputError
from sec_rl.tasks.columns import AS_TOLD, Columns, find_columns
from sec_rl.tasks.read_parquet import class_names, quiet_datasets, values
from sec_rl.tasks.rows import RawRows
from sec_rl.tasks.task import SPLITS

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

# The names under which a split is known, the usual one first.
SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "dev", "val", "valid", "eval", "validation_matched"),
    "test": ("test", "test_matched"),
}
_MAX_REASON_CHARACTERS = 300


def load_hub(name: str, asked: Columns = AS_TOLD) -> tuple[dict[str, RawRows], list[str]]:
    """Load `NAME[/CONFIG]` and find its columns.

    Args:
        name: a hub id, `org/name` or `name`, or the path of a local folder.
        asked: columns that the user named.

    Returns:
        rows per split, ``"train"`` first, and notes on what was left out. Rows without a label (None, or
        the hub's -1 for a secret test label) are left out; a split without any label counts as missing.

    Raises:
        InputError: it cannot be loaded, has no labelled training split, or its columns cannot be told.
    """
    loaded = _load(name)
    notes: list[str] = []
    splits: dict[str, RawRows] = {}
    used: set[str] = set()
    for split in SPLITS:
        found = next((known for known in SPLIT_NAMES[split] if known in loaded), None)
        if found is None:
            continue
        used.add(found)
        raw, n_unlabelled = _labelled_rows(f"hub:{name} {found}", loaded[found], asked)
        if n_unlabelled:
            notes.append(f"{n_unlabelled} rows of {found} left out because they have no label.")
        if raw.places or raw.problems:
            splits[split] = raw
    if "train" not in splits:
        raise InputError(f"hub:{name} has no labelled train split; its splits are {', '.join(map(repr, loaded))}.")
    left_out = [known for known in loaded if known not in used]
    if left_out:
        notes.append(f"Splits left out: {', '.join(map(repr, left_out))}.")
    return splits, notes


def candidates(name: str) -> list[tuple[str, str | None]]:
    """Return the (path, configuration) pairs that a name can mean, the likeliest first."""
    if name and Path(name).expanduser().is_dir():
        return [(str(Path(name).expanduser()), None)]
    head, _, tail = name.rpartition("/")
    if head and tail and _has_configurations(Path(head).expanduser()):
        return [(str(Path(head).expanduser()), tail)]
    pieces = name.split("/")
    if not all(pieces) or len(pieces) > 3 or name.startswith((".", "~", "\\")):
        return []
    if len(pieces) == 3:
        return [(head, tail)]
    # "a/b" is an organisation's data set far more often than a configuration of an old one without organisation.
    return [(name, None)] + ([(head, tail)] if head else [])


def _has_configurations(folder: Path) -> bool:
    """Whether a local folder declares configurations; a mistyped path must not load its parent folder instead."""
    readme = folder / "README.md"
    return readme.is_file() and "config_name:" in readme.read_text(encoding="utf-8", errors="replace")


def _labelled_rows(source: str, data: Dataset, asked: Columns) -> tuple[RawRows, int]:
    columns = find_columns(source, data.column_names, asked)
    if isinstance(columns, str):
        raise InputError(f"{columns}.")
    read = {new: values(data, old) for new, old in columns.items()}
    kept = [index for index, label in enumerate(read["label"]) if label is not None and label != -1]
    pairs = read.get("text_pair")
    raw = RawRows(
        source,
        [read["text"][i] for i in kept],
        None if pairs is None else [pairs[i] for i in kept],
        [read["label"][i] for i in kept],
        [f"row {i + 1}" for i in kept],
        label_names=class_names(data, columns["label"]),
        columns=columns,
    )
    return raw, len(data) - len(kept)


def _load(name: str) -> DatasetDict:
    import datasets  # see read_parquet

    reason = "no such folder, and no hub id ('name', 'org/name', then optionally '/config')"
    for position, (path, configuration) in enumerate(candidates(name)):
        try:
            with quiet_datasets(), _cache_for(path) as cache:
                loaded = datasets.load_dataset(
                    path, configuration, cache_dir=cache, keep_in_memory=cache is not None or None
                )
        except Exception as error:
            # Anything from ValueError to the bare exceptions of the network layers; the first reading counts.
            if position == 0:
                reason = " ".join(str(error).split())[:_MAX_REASON_CHARACTERS] or type(error).__name__
            if isinstance(error, ConnectionError):
                break  # each attempt without a network waits for five retries
            continue
        return loaded if isinstance(loaded, datasets.DatasetDict) else datasets.DatasetDict({"train": loaded})
    raise InputError(f"hub:{name} cannot be loaded: {reason}.")


@contextlib.contextmanager
def _cache_for(path: str) -> Iterator[str | None]:
    """Leave downloads in the user's cache; a local folder needs no second copy there."""
    if not Path(path).is_dir():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder
