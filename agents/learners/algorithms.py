"""The algorithms by name: a new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sec_rl.agents.learners.cross_entropy import CrossEntropyLearner, CrossEntropySettings
from sec_rl.agents.learners.dqn import DqnLearner, DqnSettings
from sec_rl.agents.learners.ppo import PpoLearner, PpoSettings
from sec_rl.agents.learners.sac import SacLearner, SacSettings
from sec_rl.agents.learners.seam import Learner, Lesson
from sec_rl.agents.network import Squash
from sec_rl.errors import unknown_name


@dataclass(frozen=True)
class Algorithm:
    """How to make a learner.

    Attributes:
        build: lesson and settings -> learner.
        settings: class of its settings, all of which have defaults.
        squash: what its networks end in.
        resumes: whether its state can be saved.
        paired: whether it learns from what it earns beyond a reference, see `sec_rl.agents.learners.paired`; not for
            algorithms that bootstrap every step, since the observation does not say how far the reference is.
    """

    build: Callable[[Lesson, Any], Learner]
    settings: Callable[..., Any]
    squash: Squash
    resumes: bool = True
    paired: bool = True


ALGORITHMS: Mapping[str, Algorithm] = {
    "ppo": Algorithm(PpoLearner, PpoSettings, "clip"),
    "sac": Algorithm(SacLearner, SacSettings, "tanh", resumes=False, paired=False),
    "dqn": Algorithm(DqnLearner, DqnSettings, "grid", resumes=False, paired=False),
    "cross-entropy": Algorithm(CrossEntropyLearner, CrossEntropySettings, "clip", paired=False),
}


def algorithm_named(name: str) -> Algorithm:
    """Return an algorithm.

    Raises:
        InputError: the name is unknown.
    """
    if name not in ALGORITHMS:
        raise unknown_name("algorithm", name, ALGORITHMS)
    return ALGORITHMS[name]


def settings_of(algorithm: Algorithm, given: Mapping[str, Any]) -> Any:
    """Return an algorithm's settings, those that are given instead of their defaults.

    Raises:
        InputError: a setting is unknown.
    """
    default = algorithm.settings()
    names = [field.name for field in fields(default)]
    for name in given:
        if name not in names:
            raise unknown_name("setting", name, names)
    return algorithm.settings(**given)
