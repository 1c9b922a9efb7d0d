"""Tasks from the Hugging Face hub, or from a local folder in the hub's layout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    disable_progress_bars,
    enable_progress_bars,
    is_progress_bar_enabled,
    load_dataset,
)

from sec_rl.errors import InputError

_TEXT = (
    "text",
    "sentence",
    "sentence1",
    "question",
    "premise",
    "question1",
    "review",
    "content",
    "tweet",
    "utterance",
)
_PAIR = ("text_pair", "sentence2", "hypothesis", "question2", "answer")
_LABEL = ("label", "labels", "label_coarse", "coarse_label", "intent", "class", "target")


def load_hub(name: str) -> tuple[dict[str, Dataset], tuple[str, ...] | None, list[str]]:
    """Load `NAME[/CONFIG]` and rename its columns to `text`, `text_pair` and `label`.

    A part behind the second slash (or behind the first, for names without an organisation) is the configuration.

    Returns:
        data set per split, the names of integer labels if the data set has them, and notes on what was guessed.

    Raises:
        InputError: it cannot be loaded, or its columns cannot be told.
    """
    try:
        loaded = _load(name)
    except Exception as error:
        # The library raises many kinds, down to bare Exceptions of the network layer.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"hub:{name} cannot be loaded: {first}") from error
    notes: list[str] = []
    splits: dict[str, Dataset] = {}
    names: tuple[str, ...] | None = None
    for split, data in loaded.items():
        columns = data.column_names
        text, label = _first(columns, _TEXT), _first(columns, _LABEL)
        if text is None or label is None:
            raise InputError(f"hub:{name}: no text or label column among {', '.join(columns)}.")
        pair = _first([c for c in columns if c != text], _PAIR)
        feature = data.features[label]
        if isinstance(feature, ClassLabel):
            names = tuple(feature.names)
        chosen = {"text": text, "label": label} | ({"text_pair": pair} if pair else {})
        rows = {new: list(data[old]) for new, old in chosen.items()}
        # Public test splits often come with label -1: they are of no use here.
        keep = [i for i, value in enumerate(rows["label"]) if value is not None and value != -1]
        if len(keep) < len(rows["label"]):
            notes.append(f"{len(rows['label']) - len(keep)} unlabelled rows left out of {split}.")
        if keep:
            key = {"dev": "validation", "val": "validation", "eval": "validation"}.get(split, split)
            splits[key] = Dataset.from_dict({new: [values[i] for i in keep] for new, values in rows.items()})
            if split == "train":
                used = ", ".join(f"{old!r} as {new}" for new, old in chosen.items() if old != new)
                if used:
                    notes.append(f"Columns guessed: {used}.")
    return {k: v for k, v in splits.items() if k in ("train", "validation", "test")}, names, notes


def _load(name: str) -> DatasetDict:
    pieces = name.split("/")
    attempts = [(name, None)]
    if len(pieces) > 1 and not name.startswith(("/", ".")):
        split_at = 2 if len(pieces) > 2 else 1
        config = ("/".join(pieces[:split_at]), "/".join(pieces[split_at:]))
        attempts = [config] if len(pieces) > 2 else [(name, None), config]
    for position, (path, configuration) in enumerate(attempts):
        try:
            with _no_bars():
                loaded = load_dataset(path, configuration)
        except (FileNotFoundError, ValueError, ConnectionError):
            if position == len(attempts) - 1:
                raise
            continue
        return loaded if isinstance(loaded, DatasetDict) else DatasetDict({"train": loaded})
    raise InputError(f"hub:{name} cannot be loaded.")


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    were_enabled = is_progress_bar_enabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if were_enabled:
            enable_progress_bars()


def _first(columns: list[str], wanted: tuple[str, ...]) -> str | None:
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in wanted if name in lower), None)
