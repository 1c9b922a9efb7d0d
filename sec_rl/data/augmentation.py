"""Easy data augmentation (Wei & Zou 2019): small edits that keep a text's label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sec_rl.data.wordnet import synonyms
from sec_rl.errors import out_of_range, unknown_name

Words = list[str]
Operation = Callable[[Words, int, np.random.Generator], Words]

# Losing one of these turns a label around.
NEGATIONS = frozenset({"no", "not", "never", "none", "nothing", "nor", "neither", "without", "cannot", "n't"})


def is_protected(word: str) -> bool:
    """Whether a word must stay: negations, and what is not a word at all."""
    plain = word.lower().strip(".,;:!?\"'()")
    return plain in NEGATIONS or plain.endswith("n't") or not any(c.isalpha() for c in plain)


def replace_synonyms(words: Words, n: int, generator: np.random.Generator) -> Words:
    """Replace up to `n` words by a WordNet synonym."""
    table = synonyms()
    places = [i for i, w in enumerate(words) if not is_protected(w) and w.lower() in table]
    result = list(words)
    for i in generator.permutation(len(places))[:n]:
        options = table[words[places[i]].lower()]
        result[places[i]] = options[int(generator.integers(len(options)))]
    return result


def swap_words(words: Words, n: int, generator: np.random.Generator) -> Words:
    """Exchange two words, `n` times; negations stay where they are."""
    places = [i for i, w in enumerate(words) if not is_protected(w)]
    result = list(words)
    if len(places) >= 2:
        for _ in range(n):
            i, j = generator.choice(len(places), 2, replace=False)
            result[places[i]], result[places[j]] = result[places[j]], result[places[i]]
    return result


def delete_words(words: Words, n: int, generator: np.random.Generator) -> Words:
    """Delete up to `n` words, but never the last one left."""
    places = [i for i, w in enumerate(words) if not is_protected(w)]
    n = min(n, len(words) - 1, len(places))
    gone = {places[i] for i in generator.permutation(len(places))[:n]}
    return [w for i, w in enumerate(words) if i not in gone]


AUGMENTATIONS: Mapping[str, Operation] = {
    "synonym": replace_synonyms,
    "swap": swap_words,
    "delete": delete_words,
}


def augment(
    text: str,
    *,
    strength: float,
    generator: np.random.Generator,
    operations: Sequence[str] = ("synonym", "swap", "delete"),
) -> str:
    """Return an edited copy of a text, made by one operation drawn at random.

    Args:
        text: any text with at least one word.
        strength: share of the words to change, in [0, 1] (alpha of the paper); 0 returns the text itself.
        generator: decides operation and places.
        operations: names to draw from, keys of `AUGMENTATIONS`.

    Raises:
        InputError: the strength is out of range, or an operation is unknown.
    """
    if not 0.0 <= strength <= 1.0:
        raise out_of_range("augmentation strength", strength, 0.0, 1.0)
    words = text.split()
    if strength == 0.0 or not words:
        return text
    name = operations[int(generator.integers(len(operations)))]
    if name not in AUGMENTATIONS:
        raise unknown_name("augmentation", name, AUGMENTATIONS)
    n = max(1, round(strength * len(words)))
    return " ".join(AUGMENTATIONS[name](words, n, generator))
