"""Words of a text with the punctuation around them, and which of them carry the label's sign."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# Losing one of these turns a label around.
NEGATIONS = frozenset(
    {"no", "not", "never", "none", "nothing", "nobody", "nowhere", "nor", "neither", "without", "cannot", "hardly"}
)
# WordNet knows no pronouns, articles or prepositions, but it has nouns that are spelt like them: "can" is a tin
# there, "who" a health organisation. Words of one or two letters are left out anyway.
_FUNCTION_WORDS = """
about above after all and any are been being below but can could did does down each for from had has have her
here hers him his how into its just may might must off only our ours out over own shall she should some such
than that the their them then there these they this those through too under until very was were what when
where which while who whom why will with would you your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
# What leads a word, the word with its inner marks ("n't", "it's", "well-made"), and
# what trails it.
_PARTS = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?]")


class Word(NamedTuple):
    """A word between blanks: `lead` and `tail` are punctuation, `core` is empty where it is nothing else."""

    lead: str
    core: str
    tail: str


def split_words(text: str) -> list[Word]:
    """Split a text at blanks and take the punctuation off each word."""
    found = []
    for token in text.split():
        match = _PARTS.match(token)
        lead, core, tail = match.groups() if match else ("", token, "")
        found.append(Word(lead, core, tail))
    return found


def join_words(words: Sequence[Word]) -> str:
    """Put words and their punctuation back together, one blank between them."""
    return " ".join("".join(word) for word in words)


def is_protected(word: Word) -> bool:
    """Whether a word must stay where it is: negations, and what is no word at all (numbers, marks)."""
    plain = word.core.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return plain in NEGATIONS or plain.endswith("n't") or not any(c.isalpha() for c in plain)


def is_content(word: Word) -> bool:
    """Whether a word may be replaced by a synonym."""
    return not is_protected(word) and len(word.core) > 2 and word.core.lower() not in FUNCTION_WORDS


def like(word: str, model: str) -> str:
    """Return `word` in the letter case of `model`."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word.capitalize() if model[:1].isupper() else word


def closes_sentence(word: Word) -> bool:
    """Whether the punctuation after a word ends a sentence."""
    return bool(_SENTENCE_END.search(word.tail))
