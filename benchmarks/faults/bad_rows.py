"""Rows that no task may hold, and what is said about each; and rows of test that stand in training."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

from benchmarks.faults.row import Row
from sec_rl.errors import InputError
from sec_rl.tasks import load_task
from sec_rl.tasks.near_duplicates import near_duplicates

N_TRAIN, N_HELD = 64, 10
# What stands at the end of a file of 64 sound rows, and what must be said about it.
BAD_CSV_ROWS = {
    "empty text": (",ham", "row 65 (line 66) column 'text' is empty"),
    "blank text": ('"  ",ham', "row 65 (line 66) column 'text' is empty"),
    "NA text": ("NA,ham", "row 65 (line 66) column 'text' is 'NA'"),
    "null label": ("some text,null", "row 65 (line 66) column 'label' is 'null'"),
    "missing label": ("some text,", "row 65 (line 66) column 'label' is missing"),
    "float label": ("some text,1.0", "row 65 (line 66) column 'label' is '1.0'"),
    "integer among names": ("some text,1", "row 65 (line 66) column 'label' is an integer (1)"),
    "extra field": ("some, text,ham", "row 65 (line 66) has 3 fields, the header has 2"),
    "short row": ("some text", "row 65 (line 66) has 1 fields, the header has 2"),
    "open quote": ('"some text,ham', "line 66 is no csv"),
}
BAD_JSONL_ROWS = {
    "null text": ('{"text": null, "label": "ham"}', "row 65 (line 65) column 'text' is missing"),
    "number as text": ('{"text": 7, "label": "ham"}', "row 65 (line 65) column 'text' is 7, not text"),
    "no label": ('{"text": "a"}', "row 65 (line 65) column 'label' is missing"),
    "float label": ('{"text": "a", "label": 1.0}', "row 65 (line 65) column 'label' is 1.0"),
    "NaN label": ('{"text": "a", "label": NaN}', "row 65 (line 65) column 'label' is nan"),
    "boolean label": ('{"text": "a", "label": true}', "row 65 (line 65) column 'label' is True"),
    "negative label": ('{"text": "a", "label": -100}', "row 65 (line 65) column 'label' is -100"),
    "broken JSON": ('{"text": "a", ', "row 65 (line 65) is no JSON"),
    "a list": ('["a", "ham"]', "row 65 (line 65) is no JSON object"),
    "lone surrogate": ('{"text": "a \\ud800", "label": "ham"}', "row 65 (line 65) column 'text' is not valid"),
    "nested": ("[" * 100_000, "row 65 (line 65) is no JSON"),
}
_LEAK_SHARE, _LEAK_ROWS, _WORDS_PER_TEXT = 0.05, 400, 12


def name_bad_rows(folder: Path) -> Row:
    """Put every bad row into a task: it must be named by file, row and column before anything is trained."""
    problems = []
    for suffix, faults in (("csv", BAD_CSV_ROWS), ("jsonl", BAD_JSONL_ROWS)):
        place = folder / f"rows-{suffix}"
        place.mkdir(exist_ok=True)
        for split, n in (("validation", N_HELD), ("test", N_HELD), ("train", N_TRAIN)):
            _write(place / f"{split}.{suffix}", [f"{split} text {i}" for i in range(n)])
        sound = (place / f"train.{suffix}").read_text(encoding="utf-8")
        for name, (line, expected) in faults.items():
            (place / f"train.{suffix}").write_text(f"{sound}{line}\n", encoding="utf-8")
            try:
                load_task(str(place))
                problems.append(f"{suffix}, {name}: taken.")
            except InputError as error:
                if f"train.{suffix} {expected}" not in str(error) or "\n" in str(error):
                    problems.append(f"{suffix}, {name}: {error}")
    return Row("bad rows", len(BAD_CSV_ROWS) + len(BAD_JSONL_ROWS), 0, len(problems), problems=problems)


def plant_leaks(rounds: int, folder: Path, seed: int) -> list[Row]:
    """Let rows of test stand in training, a twentieth of it, as they are and with a word changed.

    Args:
        rounds: tasks that are made.
        folder: of them.
        seed: of their texts.

    Returns:
        a row for copies, which must be removed, and one for near copies, which must be reported; lost are rows that
        were not found.
    """
    chance = random.Random(seed)
    number = round(_LEAK_SHARE * _LEAK_ROWS)
    left = missed = 0
    for index in range(rounds):
        place = folder / f"leak-{index}"
        place.mkdir(exist_ok=True)
        held, others, rows = (
            [" ".join(chance.sample(_VOCABULARY, _WORDS_PER_TEXT)) for _ in range(_LEAK_ROWS)] for _ in range(3)
        )
        copies = [f"  {text.upper()} " for text in held[:number]]
        near = [_edited(text, chance) for text in held[number : 2 * number]]
        _write(place / "test.jsonl", held)
        _write(place / "validation.jsonl", others)
        _write(place / "train.jsonl", [*rows, *copies, *near])
        task = load_task(str(place))
        left += len(set(copies) & set(task.train.texts))
        (pairs,) = near_duplicates(task.train, task.test)
        found = {task.train.texts[ours] for ours, _ in pairs}
        told = any(f"{len(found)} rows of train nearly repeat" in note for note in task.notes)
        missed += len(set(near) - found) if told else number
    return [
        Row("copies of test rows in training", rounds * number, left),
        Row("test rows in training, a word changed", rounds * number, missed),
    ]


_VOCABULARY = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "s", "t", "lo", "mi")]


def _edited(text: str, chance: random.Random) -> str:
    """Return a text with one word left out or another one in its place, and some punctuation."""
    words = text.split()
    at = chance.randrange(len(words))
    words[at : at + 1] = chance.choice([[], ["otherwise"]])
    return f"{' '.join(words).capitalize()}!"


def _write(path: Path, texts: list[str]) -> None:
    """Write a split, with two labels in turns."""
    rows = [{"text": text, "label": ("ham", "spam")[i % 2]} for i, text in enumerate(texts)]
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
            return
        writer = csv.DictWriter(file, ["text", "label"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
