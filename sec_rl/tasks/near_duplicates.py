"""Rows whose texts are nearly the same: a leak that no comparison of whole texts finds."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from sec_rl.tasks.task import Split

# The least Jaccard similarity of two rows' words, as a fraction: exact in integers.
_SHARED, _OF = 4, 5
# Rows made of a handful of words are alike by the thousand; a row is not held against more of them than this.
_MOST_COMPARED = 1000

Words = frozenset[int]


def near_duplicates(rows: Split, *held_out: Split) -> list[list[tuple[int, int]]]:
    """Find the rows that have a near duplicate in other splits.

    Two rows are near duplicates when the Jaccard similarity of their sets of words is at least 0.8; case and
    punctuation do not count, and a pair's texts are kept apart. Such sets share one of their rarest words, so only
    those are looked up (prefix filtering: Chaudhuri, Ganti & Kaushik 2006; Bayardo, Ma & Srikant 2007): it finds what
    comparing every row with every other finds, as long as no more than a thousand others share a row's rarest words.

    Args:
        rows: those that are judged.
        held_out: those whose rows they may repeat.

    Returns:
        per split, (index of a row, index of the first near duplicate that was found there), ordered by the former.
    """
    ours, *others = _by_rarity(rows, *held_out)
    return [_near(ours, theirs) for theirs in others]


def _near(ours: list[Words], theirs: list[Words]) -> list[tuple[int, int]]:
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for index, words in enumerate(theirs):
        for word in _rarest(words):
            holders[word].append(index)
    found = []
    for index, words in enumerate(ours):
        candidates = dict.fromkeys(other for word in _rarest(words) for other in holders.get(word, ()))
        for _, other in zip(range(_MOST_COMPARED), candidates, strict=False):
            if _alike(words, theirs[other]):
                found.append((index, other))
                break
    return found


def _by_rarity(*splits: Split) -> list[list[Words]]:
    """Return the words of each row of each split as numbers; the rarer a word, the smaller its number."""
    texts = [[_words(rows, index) for index in range(len(rows))] for rows in splits]
    counts = Counter(word for rows in texts for words in rows for word in words)
    number = {word: rank for rank, word in enumerate(sorted(counts, key=lambda word: (counts[word], word)))}
    return [[frozenset(number[word] for word in words) for words in rows] for rows in texts]


def _words(rows: Split, index: int) -> set[str]:
    found = set(re.findall(r"\w+", rows.texts[index].casefold()))
    if rows.pairs is not None:
        # No word of the first text holds a blank.
        found |= {f" {word}" for word in re.findall(r"\w+", rows.pairs[index].casefold())}
    return found


def _rarest(words: Words) -> list[int]:
    """Return the words of which a near duplicate must have at least one."""
    must_share = -(-_SHARED * len(words) // _OF)
    return sorted(words)[: len(words) - must_share + 1] if words else []


def _alike(one: Words, other: Words) -> bool:
    shared = len(one & other)
    return _OF * shared >= _SHARED * (len(one) + len(other) - shared)
