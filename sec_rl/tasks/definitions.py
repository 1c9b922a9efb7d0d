"""Definitions of WordNet 3.0 (Miller 1995), labelled by what kind of thing they define."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# Files of nouns and verbs, with the digit that stands for them in a sense key.
_KINDS = (("noun", "1"), ("verb", "2"))
# The few nouns at the top of the hierarchy, such as "entity", are no kind of thing.
_LEFT_OUT = "noun.Tops"


def read_definitions(folder: Path) -> tuple[list[str], list[str]]:
    """Read the definitions of all noun and verb senses that occur in the tagged corpus.

    The others are mostly names of species and places, whose definitions say outright what they are.

    Args:
        folder: a WordNet folder with `lexnames`, `cntlist.rev`, `data.noun` and `data.verb`.

    Returns:
        texts without their examples, and labels: the lexicographer's files, such as `noun.animal`.

    Raises:
        OSError: a file is missing.
        ValueError: a file is damaged.
    """
    names = dict(line.split("\t")[:2] for line in _lines(folder / "lexnames"))
    used = {line.split("::")[0] for line in _lines(folder / "cntlist.rev")}
    texts, labels = [], []
    for kind, digit in _KINDS:
        for number, words, definition in _synsets(folder / f"data.{kind}"):
            keys = (f"{word.lower()}%{digit}:{number}:{sense:02d}" for word, sense in words)
            if names[number] != _LEFT_OUT and any(key in used for key in keys):
                texts.append(definition)
                labels.append(names[number])
    return texts, labels


def _synsets(path: Path) -> Iterator[tuple[str, list[tuple[str, int]], str]]:
    """Yield file number, words with their sense numbers, and definition of each synset.

    Fields are `offset file type count word sense ... | definition; "example"`, counts and senses hexadecimal.
    """
    for line in _lines(path):
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split(" ")
        pairs = fields[4 : 4 + 2 * int(fields[3], 16)]
        words = [(word, int(sense, 16)) for word, sense in zip(pairs[::2], pairs[1::2], strict=True)]
        yield fields[1], words, gloss.partition('; "')[0].strip()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
