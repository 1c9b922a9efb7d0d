"""What the policy owes to each part of its learning: learned again without one at a time, on left-out families.

Families, worlds and preferences are those of `benchmarks.controllers`, whose folder this shares. Everything is
learned from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.console import exit_with, say, verdict
from benchmarks.controllers_report import DIGITS, rounded
from benchmarks.families import left_out_jobs, left_out_options, open_family
from benchmarks.learned import FINETUNED, STEPS, fingerprint
from benchmarks.opponents import PER_PREFERENCE, one_training
from benchmarks.options import Options
from benchmarks.prepared import load_preferred
from benchmarks.recipes import ABLATIONS, POLICY, RecipeController
from benchmarks.runs import do_all
from benchmarks.side_by_side import Worlds
from benchmarks.stratified import gaps, interquartile, mean
from benchmarks.worlds import N_SEGMENTS, PREFERENCES, UTILITY, Outcomes
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.preferred import PreferredSchedule
from sec_rl.workers import Job

NAME = "ablations"
OTHER_SEGMENTS = (6, 24)


@dataclass(frozen=True)
class Ablated:
    """What was played in the worlds of one left-out family.

    Attributes:
        name: of the family.
        recipes: per recipe (worlds, preferences, 6), `POLICY` first.
        segments: per number of segments, the policy and the best schedule per preference.
    """

    name: str
    recipes: dict[str, Outcomes]
    segments: dict[int, dict[str, Outcomes]]


def play_ablations(job: Job, options: Options) -> Ablated:
    """Learn what is missing, and play what is missing; the job's argument is the left-out task."""
    opened = open_family(str(job.argument), options, say)
    learning, judge = opened.learning, opened.judge
    first = learning.controller(POLICY)
    controllers = {POLICY: first} | {recipe: learning.controller(recipe) for recipe in ABLATIONS}
    controllers[FINETUNED] = learning.finetuned(judge.simulator)
    recipes = {
        recipe: opened.play(f"ablation-{recipe}", one_training([learner]), fingerprint(learner))[:, :, 0]
        for recipe, learner in controllers.items()
    }
    pair: dict[str, RecipeController | PreferredSchedule] = {POLICY: first}
    pair[PER_PREFERENCE] = load_preferred(learning.prepared.folder / "preferred.json")
    segments = {}
    for count in (N_SEGMENTS, *OTHER_SEGMENTS):
        worlds = Worlds(tuple(judge.world(seed, count) for seed in options.seeds))
        segments[count] = {
            name: opened.play(f"segments-{count}-{name}", one_training([each]), fingerprint(each), worlds)[:, :, 0]
            for name, each in pair.items()
        }
    return Ablated(opened.name, recipes, segments)


def recipe_table(families: Sequence[Ablated]) -> str:
    """Return what each recipe is worth, and what it has ahead of the policy of the same seed."""
    rows = []
    for name in families[0].recipes:
        values = [family.recipes[name][..., UTILITY] for family in families]
        ahead_of = gaps(values, [family.recipes[POLICY][..., UTILITY] for family in families])
        ahead = ["", ""] if name == POLICY else [each(ahead_of).text(DIGITS) for each in (interquartile, mean)]
        rows.append([name, interquartile(values).text(DIGITS), mean(values).text(DIGITS), *ahead])
    header = ["policy", "utility, interquartile mean", "mean", "ahead of the policy, interquartile mean", "mean"]
    return markdown_table(header, rows)


def segment_table(families: Sequence[Ablated]) -> str:
    """Return what the policy is worth in runs of other lengths, and what it has ahead of a table of schedules."""
    rows = []
    for count in families[0].segments:
        ours, theirs = (
            [each.segments[count][name][..., UTILITY] for each in families] for name in (POLICY, PER_PREFERENCE)
        )
        rows.append([str(count), *(interquartile(each).text(DIGITS) for each in (ours, gaps(ours, theirs)))])
    return markdown_table(["segments", "policy's utility", f"ahead of {PER_PREFERENCE}, interquartile means"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, play and write; returns the exit code 0: there is nothing to fail."""
    options = left_out_options(
        NAME, "The policy, learned without one thing at a time, on left-out tasks.", arguments=arguments
    )
    families = do_all(options.crew, partial(play_ablations, options=options), left_out_jobs(options), say)
    tables = [recipe_table(families), segment_table(families)]
    write_results(
        options,
        "The policy without one thing at a time",
        tables=tables,
        notes=[
            f"{len(options.seeds)} worlds of each family, {len(PREFERENCES)} preferences, {N_SEGMENTS} segments, as "
            f"in `benchmarks.controllers`. Left out in turn: {', '.join(family.name for family in families)}.",
            f"One learner each, {STEPS:,} steps; learners differ from each other, too, by about 0.002 of utility.",
            "Ahead of the policy: of the same seed, world by world.",
            "Intervals: 95 %, worlds resampled within families, all preferences of a world together.",
        ],
        over="families, worlds and preferences",
        data={
            "families": {
                family.name: {
                    "recipes": rounded(family.recipes),
                    "segments": {str(count): rounded(pair) for count, pair in family.segments.items()},
                }
                for family in families
            }
        },
    )
    return verdict("\n\n".join(tables), [])


if __name__ == "__main__":
    exit_with(main)
