"""Easy data augmentation (EDA, Wei & Zou 2019): small edits that keep a text's label.

Unlike the paper, negations are never touched, a synonym must be one of a common sense, function words have none, and
punctuation stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sec_rl.data.wordnet import synonyms
from sec_rl.data.words import Word, closes_sentence, is_content, is_protected, join_words, like, split_words
from sec_rl.errors import InputError, out_of_range, unknown_name

Operation = Callable[[Sequence[Word], int, np.random.Generator], list[Word]]


def replace_synonyms(words: Sequence[Word], n: int, generator: np.random.Generator) -> list[Word]:
    """Replace up to `n` words by a WordNet synonym."""
    table = synonyms()
    places = [i for i, word in enumerate(words) if is_content(word) and word.core.lower() in table]
    result = list(words)
    for i in generator.permutation(len(places))[:n]:
        word = words[places[i]]
        result[places[i]] = word._replace(core=like(_draw(table[word.core.lower()], generator), word.core))
    return result


def insert_synonyms(words: Sequence[Word], n: int, generator: np.random.Generator) -> list[Word]:
    """Insert synonyms of up to `n` of the words, each in front of a random word."""
    table = synonyms()
    sources = [word.core.lower() for word in words if is_content(word) and word.core.lower() in table]
    result = list(words)
    for i in generator.permutation(len(sources))[:n]:
        place = int(generator.integers(len(result)))
        result.insert(place, Word("", _draw(table[sources[i]], generator), ""))
    return result


def swap_words(words: Sequence[Word], n: int, generator: np.random.Generator) -> list[Word]:
    """Exchange two words, `n` times; negations and punctuation stay where they are."""
    places = [i for i, word in enumerate(words) if not is_protected(word)]
    result = list(words)
    if len(places) >= 2:
        for _ in range(n):
            i, j = (places[k] for k in generator.choice(len(places), 2, replace=False))
            one, other = result[i].core, result[j].core
            result[i], result[j] = result[i]._replace(core=other), result[j]._replace(core=one)
    return result


def delete_words(words: Sequence[Word], n: int, generator: np.random.Generator) -> list[Word]:
    """Delete up to `n` words, but never the last one left; the mark that ends a sentence moves to the word before."""
    places = [i for i, word in enumerate(words) if not is_protected(word)]
    n_words = sum(any(c.isalnum() for c in word.core) for word in words)
    gone = {places[i] for i in generator.permutation(len(places))[: max(0, min(n, n_words - 1))]}
    result: list[Word] = []
    for i, word in enumerate(words):
        if i not in gone:
            result.append(word)
        elif closes_sentence(word) and result and not closes_sentence(result[-1]):
            result[-1] = result[-1]._replace(tail=word.tail)
    return result


AUGMENTATIONS: Mapping[str, Operation] = {
    "synonym": replace_synonyms,
    "insert": insert_synonyms,
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
        text: any text.
        strength: share of the words to change, in [0, 1], at least one word (alpha of the paper); 0 returns the text
            itself, as does a text that offers nothing to change.
        generator: decides operation and places.
        operations: names to draw from, keys of `AUGMENTATIONS`.

    Raises:
        InputError: the strength is out of range, or an operation is unknown, or there is none.
        MissingDependencyError: the WordNet wheel is not installed and an operation needs it.
    """
    if not 0.0 <= strength <= 1.0:
        raise out_of_range("augmentation strength", strength, 0.0, 1.0)
    if not operations:
        raise InputError(f"No augmentation is named; name at least one of {', '.join(AUGMENTATIONS)}.")
    for name in operations:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
    words = split_words(text)
    if strength == 0.0 or not words:
        return text
    operation = AUGMENTATIONS[operations[int(generator.integers(len(operations)))]]
    edited = operation(words, max(1, round(strength * len(words))), generator)
    # Joining turns every run of blanks into one, which is no augmentation.
    return text if edited == words else join_words(edited)


def augment_many(
    texts: Sequence[str],
    *,
    strength: float,
    generator: np.random.Generator,
    operations: Sequence[str] = ("synonym", "swap", "delete"),
) -> tuple[str, ...]:
    """Return one edited copy of each text; see `augment`."""
    return tuple(augment(text, strength=strength, generator=generator, operations=operations) for text in texts)


def _draw(options: Sequence[str], generator: np.random.Generator) -> str:
    return options[int(generator.integers(len(options)))]
