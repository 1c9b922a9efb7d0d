"""Recorded episodes: one parquet row per segment, segment 0 (the opened session) included.

=============================  ===================================================================================
column                         what
=============================  ===================================================================================
episode                        identifier, unique in a table
task, family                   name of the task; tasks of one family share their texts and are held out together
encoder, controller, seed      what ran
pool_size, budget, n_segments  labelled pool, example passes of the whole run, segments
n_classes, majority            of the task; share of its most frequent class in validation
batch_size                     of the run
segment                        segments finished, 0 .. n_segments
action_data, action_compression            the controller's action, NaN at segment 0
target_data, target_compression            the ratios that were asked of the session, NaN at segment 0
augmentation_strength .. depth_share       the five `Levers` of the segment
data_ratio .. seconds          `Metrics` after the segment, see `sec_rl.values`; all but `source`
rolled_back                    whether accuracy collapsed and the model returned to the segment before
final_accuracy, final_loss     of the finished model on the whole validation split; one value per episode
=============================  ===================================================================================

Accuracy within an episode is of a sample of the validation split that is the same for all episodes of a task, so that
episodes compare; the test split is never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from sec_rl.errors import InputError
from sec_rl.files import read_bytes
from sec_rl.values import Levers, Metrics

# A hundred times what 170 episodes take.
_MOST_BYTES, _MOST_ROWS = 100_000_000, 1_000_000
EPISODE_COLUMNS = (
    "episode",
    "task",
    "family",
    "encoder",
    "controller",
    "seed",
    "pool_size",
    "budget",
    "n_segments",
    "n_classes",
    "majority",
    "batch_size",
    "final_accuracy",
    "final_loss",
)
LEVER_COLUMNS = tuple(field.name for field in fields(Levers))
METRIC_COLUMNS = tuple(
    field.name for field in fields(Metrics) if field.name not in ("source", "segment", "n_segments", "n_classes")
)
STEP_COLUMNS = (
    "segment",
    "action_data",
    "action_compression",
    "target_data",
    "target_compression",
    *LEVER_COLUMNS,
    *METRIC_COLUMNS,
    "rolled_back",
)
COLUMNS = EPISODE_COLUMNS + STEP_COLUMNS
NUMBERS = tuple(name for name in COLUMNS if name not in ("episode", "task", "family", "encoder", "controller"))


def read_traces(folder: Path) -> pd.DataFrame:
    """Return all episodes of a folder of parquet files, in a fixed order.

    Raises:
        InputError: there is none, a file cannot be read, or a column is missing.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"{str(folder)!r} holds no recorded episodes (*.parquet).")
    return check_traces(pd.concat([_read(file) for file in files], ignore_index=True), str(folder))


def check_traces(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the table with its columns in order, episodes sorted.

    Raises:
        InputError: a column is missing, or an episode has a gap.
    """
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise InputError(f"{name!r} lacks the column {missing[0]!r}; recorded episodes have {', '.join(COLUMNS)}.")
    for column in NUMBERS:
        if not is_numeric_dtype(table[column]):
            raise InputError(f"{name!r} has something else than numbers in the column {column!r}.")
    if table[["episode", "task", "family", "segment", "n_segments"]].isna().any(axis=None):
        raise InputError(f"{name!r} has a row without its episode, task, family or segment.")
    table = table[list(COLUMNS)].sort_values(["task", "episode", "segment"], ignore_index=True)
    for episode, rows in table.groupby("episode", sort=False):
        if rows["segment"].tolist() != list(range(int(rows["n_segments"].iloc[0]) + 1)):
            raise InputError(f"Episode {episode!r} in {name!r} is not complete, or is there twice.")
    return table


def digest(table: pd.DataFrame) -> str:
    """Return what tells these episodes from others, a SHA-256."""
    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()


def without(table: pd.DataFrame, families: Iterable[str]) -> pd.DataFrame:
    """Return the episodes of all other families."""
    return table[~table["family"].isin(list(families))].reset_index(drop=True)


def read_episode(path: Path) -> pd.DataFrame:
    """Return the rows of one recorded episode.

    Raises:
        InputError: the file cannot be read, or the episode is not whole.
    """
    return check_traces(_read(path), str(path))


def _read(file: Path) -> pd.DataFrame:
    content = BytesIO(read_bytes(file, _MOST_BYTES))
    try:
        # The size of a column is known before it is unpacked; a small file can unpack to more than there is memory.
        parquet = ParquetFile(content, page_checksum_verification=True)
        groups = (parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups))
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > _MOST_BYTES or parquet.metadata.num_rows > _MOST_ROWS:
            raise InputError(f"{str(file)!r} unpacks to more than {_MOST_BYTES} bytes; nothing was loaded.")
        table: pd.DataFrame = parquet.read().to_pandas()
    # What the parser makes of a damaged file: ArrowInvalid is a ValueError, OSError also means a wrong checksum.
    except (OSError, ValueError, TypeError, KeyError, ArrowException, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(file)!r} cannot be read: {' '.join(str(error).split())[:200]}.") from error
    return table
