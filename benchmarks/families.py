"""One left-out family: what is learned without it, and everything that is played in its worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.learned import FINETUNED, STEPS, Learners, fingerprint
from benchmarks.opponents import Opponent, one_training, planners, schedules, searches
from benchmarks.options import Options
from benchmarks.played import play_worlds
from benchmarks.prepared import Prepared, load_preferred, prepare
from benchmarks.recipes import ABLATIONS, LEARNED, POLICY
from benchmarks.side_by_side import Worlds
from benchmarks.spent import Spent, spend
from benchmarks.worlds import JUDGES, N_SEGMENTS, Outcomes, World, open_judge
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.episode_plan import FAMILIES
from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.traces import read_traces, without
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.errors import InputError

# Trainings of every policy, from seeds of their own; worlds take turns with them.
LEARNERS = 2
OTHER_SEGMENTS = (6, 24)
ABLATE, SHARED = "ablations", "shared-judge"


@dataclass(frozen=True)
class Family:
    """What was played in the worlds of one left-out family.

    Attributes:
        name: of the family.
        worlds: in the order of the outcomes' first axis.
        outcomes: per method (worlds, preferences, trainings, 6), see `World.outcomes`.
        spent: per method, by one model for one preference.
        searches: methods whose trainings are one after the other, of which the best measured one is kept.
        ablations: per recipe (worlds, preferences, 6), learned from the first seed; `POLICY` among them.
        segments: likewise per number of segments, the policy and the best schedule per preference.
        bounds: likewise per controller that practised in the family itself, see `Learners.knowing`.
        judge: what `World`s were drawn from, JSON-ready.
    """

    name: str
    worlds: Sequence[World]
    outcomes: dict[str, Outcomes]
    spent: dict[str, Spent]
    searches: frozenset[str]
    ablations: dict[str, Outcomes]
    segments: dict[int, tuple[Outcomes, Outcomes]]
    bounds: dict[str, Outcomes]
    judge: Mapping[str, Any]


def family_of(task: str) -> str:
    """Return the family of a task; families stand for themselves."""
    return FAMILIES.get(task, task)


def play_family(task: str, options: Options, say: Callable[[str], None]) -> Family:
    """Learn what is missing, and play what is missing.

    Args:
        task: the left-out task, or its family.
        options: of the benchmark.
        say: takes one line of progress.
    """
    name = family_of(task)
    table = read_traces(shipped_traces())
    kind = JUDGES[SHARED in options.switches]
    # Before anything is learned: a family that nobody recorded cannot be judged.
    judge = open_judge(table, name, kind, quick=options.quick)
    worlds = Worlds(tuple(judge.world(seed) for seed in options.seeds))
    prepared = prepare(task, shipped_traces(), options, say, steps=STEPS)
    simulator = load_simulator(prepared.folder / "simulator")
    _check_left_out(name, simulator, prepared)
    learners = 1 if options.quick else LEARNERS
    played = prepared.folder / f"played-{kind}"
    learning = Learners(simulator, prepared, played, options, say)
    learned = {recipe: [learning.controller(recipe, seed) for seed in range(learners)] for recipe in LEARNED}
    preferred = load_preferred(prepared.folder / "preferred.json")
    opponents = {
        recipe: Opponent(one_training(controllers), learned_from_others=True)
        for recipe, controllers in learned.items()
    }
    opponents |= (
        schedules(TargetSchedule(**prepared.fixed), preferred) | searches() | planners(simulator.predicting())
    )
    about = {
        "judge": dict(judge.simulator.about),
        "episodes": simulator.about["sha256"],
        "policies": {recipe: [fingerprint(each) for each in controllers] for recipe, controllers in learned.items()},
    }
    outcomes = {}
    for method, opponent in opponents.items():
        say(f"{name}: playing {method} ...")
        outcomes[method] = play_worlds(opponent.method, worlds, played / f"{method}.npz".replace(" ", "_"), about)
    recorded = float(without(table, [name]).drop_duplicates("episode")["budget"].sum())
    spent = {
        method: spend(
            each.trainings, worlds.passes, judge.seconds_per_pass, recorded if each.learned_from_others else 0.0
        )
        for method, each in opponents.items()
    }
    bounds = {}
    for label, controller in learning.knowing(judge.simulator).items():
        path = played / f"bound-{label}.npz".replace(" ", "_")
        bounds[label] = play_worlds(one_training([controller]), worlds, path, about)[:, :, 0]
    ablations: dict[str, Outcomes] = {}
    segments: dict[int, tuple[Outcomes, Outcomes]] = {}
    if ABLATE in options.switches:
        first = learned[POLICY][0]
        controllers = {POLICY: first} | {recipe: learning.controller(recipe) for recipe in ABLATIONS}
        controllers[FINETUNED] = learning.finetuned(judge.simulator)
        for recipe, learner in controllers.items():
            path = played / f"ablation-{recipe}.npz".replace(" ", "_")
            with_own = about | {"policies": fingerprint(learner)}
            ablations[recipe] = play_worlds(one_training([learner]), worlds, path, with_own)[:, :, 0]
        for count in (N_SEGMENTS, *OTHER_SEGMENTS):
            others = Worlds(tuple(judge.world(seed, count) for seed in options.seeds))
            pair = [
                play_worlds(one_training([each]), others, played / f"segments-{count}-{label}.npz", about)[:, :, 0]
                for label, each in (("policy", first), ("schedule", preferred))
            ]
            segments[count] = (pair[0], pair[1])
    searching = frozenset(method for method, each in opponents.items() if each.searches)
    return Family(name, worlds.worlds, outcomes, spent, searching, ablations, segments, bounds, judge.simulator.about)


def _check_left_out(family: str, simulator: Simulator, prepared: Prepared) -> None:
    """Refuse what was put into the folder from elsewhere and knows the family.

    Raises:
        InputError: simulator or policy was made with it.
    """
    policy = load_policy(prepared.folder / "policy").provenance
    made_with = {"simulator": simulator.about, "policy": policy.get("simulator", {})}
    for what, about in made_with.items():
        if family in (about.get("families") or ()):
            raise InputError(
                f"The {what} in {str(prepared.folder)!r} was made with episodes of {family!r}, which is to be left "
                "out; remove the folder."
            )
