"""Which episodes a collection records: drawn from one seed, the same on every machine, resumable by name."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sec_rl.agents.controllers import Controller, RandomWalk, ScheduleController
from sec_rl.agents.schedules import Schedule
from sec_rl.envs.drive import INITIAL
from sec_rl.errors import InputError
from sec_rl.values import Levers, Ratios

# Small pools and budgets keep an episode near a minute; two of them show the simulator what either does. The passes
# are those of two classes, see `budget_for`.
SETTINGS = ((1200, 2400), (3000, 4000))
# Doublings of the number of classes that add as many passes again: with 2,400 passes for 150 classes even dense
# training ended at half of what it reaches, where chance decides how much of it any schedule gets.
_DOUBLINGS = 3.0
SEGMENTS = (8, 10, 12, 16)
# Of eight episodes of a setting one is dense (the level that others are compared with) and half wander, every other
# one of these around a policy of an earlier round. A longer collection turns to such policies: a simulator is asked
# about the runs that policies make, and what it does not know of them the next policy takes for free.
_KINDS = (
    *("dense", "policy", "cubic", "walk", "fixed", "policy", "cubic", "walk"),
    *("dense", "policy", "cubic", "policy", "policy", "policy", "fixed", "walk"),
)
# Share of the episodes that are not dense whose levers are drawn, too.
_DRAWN_LEVERS = 0.25
# Tasks that share their texts, wherever they were packaged: they are held out together.
FAMILIES = {"sst2": "movie-reviews", "trec6": "questions", "questions-fine": "questions"}


@dataclass(frozen=True)
class EpisodeSpec:
    """One episode to record.

    Attributes:
        name: unique in a collection, and a file name.
        task: as `load_task` takes it.
        pool_size: labelled pool; smaller where the task has fewer rows.
        base_budget: example passes with two classes, see `budget_for`.
        n_segments: segments of the run.
        kind: `dense`, `fixed`, `cubic`, `walk` or `policy`.
        seed: of session and controller.
        schedule: what drives the run; None for a walk or a policy.
        levers: of every segment.
    """

    name: str
    task: str
    pool_size: int
    base_budget: int
    n_segments: int
    kind: str
    seed: int
    schedule: Schedule | None = None
    levers: Levers = field(default_factory=Levers)

    @property
    def family(self) -> str:
        """Name of the task's family."""
        return FAMILIES.get(task_name(self.task), task_name(self.task))

    def controller(self) -> tuple[Controller, Ratios]:
        """Return the controller that the plan itself knows, and the ratios it starts from."""
        if self.schedule is None:
            return RandomWalk(), INITIAL
        controller = ScheduleController(self.schedule)
        return controller, controller.initial_ratios()


def budget_for(base: int, n_classes: int) -> int:
    """Return the example passes of an episode: more classes take more of them to learn.

    Args:
        base: passes with two classes.
        n_classes: of the task, at least 2.
    """
    return round(base * (1.0 + math.log2(n_classes / 2.0) / _DOUBLINGS))


def task_name(task: str) -> str:
    """Return a task's name without its folder."""
    return task.rstrip("/").rsplit("/", 1)[-1]


def plan_episodes(
    tasks: Sequence[str], n_episodes: int, seed: int, *, with_policy: bool = False
) -> list[EpisodeSpec]:
    """Draw the episodes of a collection.

    Tasks and settings take turns, so that a collection that stops early is balanced. What an episode is depends on
    the seed, its task, its setting and which repeat it is, so that a collection can grow by episodes and by tasks.

    Args:
        tasks: as `load_task` takes them.
        n_episodes: how many.
        seed: decides all of them.
        with_policy: drive the episodes of kind `policy` by a policy of an earlier round; they are walks otherwise.

    Raises:
        InputError: no task, no episode, a negative seed, or two tasks of one name.
    """
    if not tasks or n_episodes < 1:
        raise InputError(f"{n_episodes} episodes on {len(tasks)} tasks were asked for; both must be at least 1.")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be at least 0.")
    names = [task_name(task) for task in tasks]
    if len(set(names)) < len(names):
        raise InputError(f"Two tasks are named alike: {', '.join(names)}.")
    turns = [(task, setting) for setting in range(len(SETTINGS)) for task in tasks]
    specs = []
    for index in range(n_episodes):
        task, setting = turns[index % len(turns)]
        repeat = index // len(turns)
        kind = _KINDS[repeat % len(_KINDS)]
        if kind == "policy" and not with_policy:
            kind = "walk"
        drawn_from = [seed, zlib.crc32(task_name(task).encode()), setting, repeat]
        specs.append(_draw(task, setting, kind, repeat, np.random.default_rng(drawn_from)))
    return specs


def _draw(task: str, setting: int, kind: str, repeat: int, generator: np.random.Generator) -> EpisodeSpec:
    pool_size, budget = SETTINGS[setting]
    n_segments = int(generator.choice(SEGMENTS))
    seed = int(generator.integers(2**31))
    schedule, levers = None, Levers()
    if kind in ("dense", "fixed", "cubic"):
        start = float(generator.uniform(0.1, 0.5))
        schedule = Schedule(
            kind,
            data_ratio=1.0 if kind == "dense" else float(generator.uniform(0.1, 1.0)),
            compression_ratio=0.0 if kind == "dense" else float(generator.uniform(0.15, 0.92)),
            seed=seed,
            n_segments=n_segments,
            pruning_start=start,
            pruning_end=float(generator.uniform(start + 0.2, 0.9)),
        )
    if kind != "dense" and generator.random() < _DRAWN_LEVERS:
        levers = Levers(
            augmentation_strength=float(generator.uniform(0.0, 0.3)),
            augmentation_share=float(generator.choice([0.0, generator.uniform(0.0, 0.5)])),
            pseudo_label_share=float(generator.choice([0.0, generator.uniform(0.0, 0.5)])),
            distillation_weight=float(generator.uniform(0.0, 1.0)),
            depth_share=float(generator.choice([0.0, generator.uniform(0.0, 1.0)])),
        )
    name = f"{task_name(task)}-{'ab'[setting]}{repeat:03d}-{kind}"
    return EpisodeSpec(name, task, pool_size, budget, n_segments, kind, seed, schedule, levers)
