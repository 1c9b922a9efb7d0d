"""Parquet files through `datasets`, which keeps their types."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sec_rl.errors import InputError
from sec_rl.tasks.columns import AS_TOLD, Columns, find_columns
from sec_rl.tasks.rows import RawRows

if TYPE_CHECKING:
    from datasets import Dataset


def read_parquet(path: Path, asked: Columns = AS_TOLD) -> RawRows:
    """Read a parquet file; a column of `datasets.ClassLabel` brings its names along.

    Args:
        path: of the file.
        asked: columns that the user named.

    Raises:
        InputError: the file is no parquet file.
    """
    from datasets import Dataset  # takes most of a second, and `sec-rl tasks` must not wait for it

    with quiet_datasets(), tempfile.TemporaryDirectory() as cache:
        try:
            data = Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
        except Exception as error:
            # The builder wraps whatever the parser raises in exceptions of its own, one of them a bare Exception.
            cause = error.__cause__ or error
            raise InputError(f"{str(path)!r} is no readable parquet file: {cause}.") from error
    header = data.column_names
    columns = find_columns(path.name, header, asked)
    if isinstance(columns, str):
        return RawRows(path.name, problems=(columns,))
    return RawRows(
        path.name,
        values(data, columns["text"]),
        values(data, columns["text_pair"]) if "text_pair" in columns else None,
        values(data, columns["label"]),
        [f"row {number}" for number in range(1, len(data) + 1)],
        label_names=class_names(data, columns["label"]),
        ignored=tuple(
            name for name in header if name not in columns.values() and not name.startswith("__index_level")
        ),
        columns=columns,
    )


def values(data: Dataset, column: str) -> list[object]:
    """Return a column's values; bytes of a text that are no UTF-8 stay as lone surrogates, for the row checks."""
    try:
        return list(data[column])
    except UnicodeDecodeError:
        binary = data.data.table.column(column).cast("large_binary").to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in binary]


def class_names(data: Dataset, column: str) -> tuple[str, ...] | None:
    """Return the names that a label column's type carries, or None."""
    names = getattr(data.features[column], "names", None)
    return tuple(str(name) for name in names) if names else None


@contextlib.contextmanager
def quiet_datasets() -> Iterator[None]:
    """Keep the progress bars and warnings of `datasets` off the screen, and restore both afterwards."""
    import datasets

    bars_were_off = datasets.are_progress_bars_disabled()
    logger = logging.getLogger("datasets")
    level = logger.level
    datasets.disable_progress_bars()
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        if not bars_were_off:
            datasets.enable_progress_bars()
