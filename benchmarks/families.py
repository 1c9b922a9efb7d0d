"""One left-out family: what is learned without it, and everything that is played in its worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmarks.learned import STEPS, Learners, fingerprint
from benchmarks.opponents import BEST_FIXED, PER_PREFERENCE, Opponent, one_training, planners, schedules, searches
from benchmarks.options import Options, parse_options
from benchmarks.played import Method, play_worlds
from benchmarks.prepared import Prepared, load_preferred, prepare
from benchmarks.recipes import LEARNED
from benchmarks.side_by_side import Worlds
from benchmarks.spent import Spent, spend
from benchmarks.worlds import JUDGES, LEARNERS, Judge, Outcomes, World, open_judge
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.episode_plan import FAMILIES
from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.traces import read_traces, without
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.errors import InputError
from sec_rl.workers import Job

TASKS = ("sst2", "trec6", "mrpc", "clinc150", "snips", "sms-spam")
SEEDS, QUICK_SEEDS = range(30), 4
SHARED = "shared-judge"


@dataclass(frozen=True)
class Family:
    """What was played in the worlds of one left-out family.

    Attributes:
        name: of the family.
        worlds: in the order of the outcomes' first axis.
        outcomes: per method (worlds, preferences, trainings, 6), see `World.outcomes`.
        spent: per method, by one model for one preference.
        searches: methods whose trainings are one after the other, of which the best measured one is kept.
        learners: policies of each recipe; worlds take turns with them.
        bounds: per controller that practised in the family itself (worlds, preferences, 6), see `Learners.knowing`.
        judge: what `World`s were drawn from, JSON-ready.
    """

    name: str
    worlds: Sequence[World]
    outcomes: dict[str, Outcomes]
    spent: dict[str, Spent]
    searches: frozenset[str]
    learners: int
    bounds: dict[str, Outcomes]
    judge: Mapping[str, Any]


def left_out_options(
    name: str,
    description: str,
    *,
    switches: Mapping[str, str] | None = None,
    arguments: Sequence[str] | None = None,
) -> Options:
    """Return the options of a benchmark that plays left-out families; a smoke test takes the first task only.

    Args:
        name: of the benchmark; all of them share one folder.
        description: first line of its help.
        switches: its own.
        arguments: the command line; None: the process's own.

    Raises:
        InputError: there is one seed only, or see `parse_options`.
    """
    options = parse_options(
        name,
        description,
        tasks=TASKS,
        runs_of="controllers",
        seeds=SEEDS,
        quick_seeds=QUICK_SEEDS,
        switches=switches,
        trains=False,
        arguments=arguments,
    )
    if len(options.seeds) < 2:
        raise InputError("An interval needs two worlds of each family at least: give two --seeds or more.")
    return replace(options, tasks=options.tasks[:1]) if options.quick else options


def left_out_jobs(options: Options) -> list[Job]:
    """Return a job per family, about one of its tasks: two tasks of one family are one thing to leave out."""
    tasks = {family_of(task): task for task in options.tasks}
    return [Job(family, 0, task) for family, task in tasks.items()]


def family_of(task: str) -> str:
    """Return the family of a task; families stand for themselves."""
    return FAMILIES.get(task, task)


@dataclass(frozen=True)
class Opened:
    """One left-out family before anything is played in it.

    Attributes:
        name: of the family.
        judge: draws the worlds.
        worlds: one per seed.
        table: recorded episodes of all families.
        learning: holds what was made without the family, and learns the rest.
    """

    name: str
    judge: Judge
    worlds: Worlds
    table: pd.DataFrame
    learning: Learners

    def play(self, label: str, method: Method, made_of: Any, worlds: Worlds | None = None) -> Outcomes:
        """Play a method, or read what it ended with when it was played before.

        Args:
            label: names the file.
            method: plays worlds.
            made_of: what tells the controllers from others that were made anew, JSON-ready; when that differs, it is
                played again.
            worlds: others of this family; None: those of the seeds.

        Returns:
            (worlds, preferences, trainings, 6).
        """
        about = {
            "judge": dict(self.judge.simulator.about),
            "episodes": self.learning.simulator.about["sha256"],
            "made of": made_of,
        }
        path = self.learning.judged / f"{label}.npz".replace(" ", "_")
        return play_worlds(method, self.worlds if worlds is None else worlds, path, about)


def open_family(task: str, options: Options, say: Callable[[str], None]) -> Opened:
    """Fit the judge of a family, and make what is made without it where it is missing.

    Args:
        task: the left-out task, or its family.
        options: of the benchmark.
        say: takes one line of progress.
    """
    name, kind = family_of(task), JUDGES[SHARED in options.switches]
    # Before anything is learned: a family that nobody recorded cannot be judged.
    table = read_traces(shipped_traces())
    judge = open_judge(table, name, kind, quick=options.quick)
    worlds = Worlds(tuple(judge.world(seed) for seed in options.seeds))
    prepared = prepare(task, shipped_traces(), options, say, steps=STEPS)
    simulator = load_simulator(prepared.folder / "simulator")
    _check_left_out(name, prepared)
    learning = Learners(simulator, prepared, prepared.folder / f"played-{kind}", options, say)
    return Opened(name, judge, worlds, table, learning)


def play_family(task: str, options: Options, say: Callable[[str], None]) -> Family:
    """Learn what is missing, and play what is missing.

    Args:
        task: the left-out task, or its family.
        options: of the benchmark.
        say: takes one line of progress.
    """
    opened = open_family(task, options, say)
    name, judge, worlds, learning = opened.name, opened.judge, opened.worlds, opened.learning
    learners = 1 if options.quick else LEARNERS
    learned = {recipe: [learning.controller(recipe, seed) for seed in range(learners)] for recipe in LEARNED}
    opponents = {
        recipe: Opponent(one_training(controllers), learned_from_others=True)
        for recipe, controllers in learned.items()
    }
    preferred = load_preferred(learning.prepared.folder / "preferred.json")
    opponents |= schedules(TargetSchedule(**learning.prepared.fixed), preferred)
    opponents |= searches() | planners(learning.simulator.predicting())
    made_of: dict[str, Any] = {recipe: [fingerprint(each) for each in several] for recipe, several in learned.items()}
    made_of |= {PER_PREFERENCE: fingerprint(preferred), BEST_FIXED: learning.prepared.fixed}
    outcomes = {}
    for method, opponent in opponents.items():
        say(f"{name}: playing {method} ...")
        outcomes[method] = opened.play(method, opponent.method, made_of.get(method))
    recorded = float(without(opened.table, [name]).drop_duplicates("episode")["budget"].sum())
    spent = {
        method: spend(
            each.trainings, worlds.passes, judge.seconds_per_pass, recorded if each.learned_from_others else 0.0
        )
        for method, each in opponents.items()
    }
    bounds = {}
    for label, controller in learning.knowing(judge.simulator).items():
        bounds[label] = opened.play(f"bound-{label}", one_training([controller]), fingerprint(controller))[:, :, 0]
    searching = frozenset(method for method, each in opponents.items() if each.searches)
    return Family(name, worlds.worlds, outcomes, spent, searching, learners, bounds, judge.simulator.about)


def _check_left_out(family: str, prepared: Prepared) -> None:
    """Refuse a policy that was put into the folder from elsewhere and knows the family; `prepare` checks the rest.

    Raises:
        InputError: it was made with it.
    """
    about = load_policy(prepared.folder / "policy").provenance.get("simulator", {})
    if family in (about.get("families") or ()):
        raise InputError(
            f"The policy in {str(prepared.folder)!r} was made with episodes of {family!r}, which is to be left out; "
            "remove the folder."
        )
