"""Does the controller earn its keep? One training under a learned policy against everything that could replace it.

For each task its family is left out of recorded episodes, simulator, policy and tuning. Then every method trains
models of the left-out task for ten fixed preferences, in simulated worlds that were fitted to the family's own
recorded episodes (`benchmarks.worlds` says why those), and is judged by the utility that its models really have. A
search pays for every training it makes, those that it throws away included, chooses among them by what a validation
sample shows, and is judged like everybody else.

`benchmarks.controllers_real` trains the methods that matter for real; `benchmarks.ablations` takes the policy apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.console import exit_with, say, verdict
from benchmarks.controllers_figures import over_trainings, profiles, write_figure
from benchmarks.controllers_report import (
    bound_table,
    data_of,
    family_table,
    front_table,
    gains_over_dense,
    judge,
    learning_curves,
    lines_of,
    method_table,
    overtaken_after,
    preference_table,
)
from benchmarks.families import SHARED, Family, left_out_jobs, left_out_options, play_family
from benchmarks.learned import STEPS
from benchmarks.options import Options
from benchmarks.runs import do_all
from benchmarks.spent import WORST_DROP
from benchmarks.worlds import N_SEGMENTS, PREFERENCES
from benchmarks.writing import write_results
from sec_rl.workers import Job

NAME = "controllers"
SWITCHES = {SHARED: "judge by a simulator fitted to all families instead of the left-out family's own"}


def _play(job: Job, options: Options) -> Family:
    return play_family(str(job.argument), options, say)


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Return the options, see `left_out_options`."""
    options = left_out_options(
        NAME,
        "Learned control against searches, schedules and one lever at a time, on left-out tasks.",
        switches=SWITCHES,
        arguments=arguments,
    )
    # Another judge's verdict has a page of its own.
    return replace(options, name=f"{options.name}-{SHARED}") if SHARED in options.switches else options


def notes_on(options: Options, families: Sequence[Family]) -> list[str]:
    """Return what has to be known to read the tables."""
    after = overtaken_after(families)
    overtaking = "does not overtake it" if after is None else f"overtakes it after {after}"
    return [
        f"Simulated: {len(options.seeds)} worlds of each family, {len(PREFERENCES)} preferences, {N_SEGMENTS} "
        f"segments. Left out in turn: {', '.join(family.name for family in families)}.",
        f"Policies learned for {STEPS:,} steps each, a quarter of what `sec-rl train` takes, with seeds below "
        f"{families[0].learners}; worlds take turns with them.",
        f"By the mean over all runs TPE, a training at a time, {overtaking} (the policy's one training).",
        "What practised in the family itself knows all its worlds, and not in which of them it is: a bound for one "
        "training, and no method, for nobody has the simulator of a task before the first training.",
        "Passes: example passes on the left-out task for one model and one preference. A search searches anew for "
        "every preference; a schedule that does not read the preference could serve all ten with one training.",
        "Passes of other tasks: of the recorded episodes that simulator, policy and tuned schedules rest on.",
        f"Hypervolume: of accuracy, bytes, latency and labels, 1 for a model without any cost, counted from "
        f"{WORST_DROP:g} of accuracy lost and a tenth more of every cost than dense in int8; preferences take turns.",
        "Intervals: 95 %; within families, learners are resampled, and the worlds that each of them played, all "
        "preferences of a world together. Where nothing was learned, worlds alone.",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, play, judge, draw and write; returns the exit code (1: a criterion failed)."""
    options = read_options(arguments)
    # Families are independent, and may be played side by side.
    families = do_all(options.crew, partial(_play, options=options), left_out_jobs(options), say)
    lines = lines_of(families)
    data = data_of(families, lines)
    criteria = judge(lines)
    tables = [method_table(families, lines)]
    tables += [each(families, lines) for each in (family_table, preference_table, bound_table)]
    spent = {method: each.trainings for method, each in families[0].spent.items()}
    tables += [front_table(data["hypervolume"]["methods"], spent)]
    pictures = {
        "performance profiles": ("profiles", profiles(gains_over_dense(lines))),
        "utility against trainings": ("trainings", over_trainings(learning_curves(families), lines)),
    }
    for title, (suffix, figure) in pictures.items():
        file = f"{options.name}-{suffix}.png"
        write_figure(figure, options.results / file)
        tables.append(f"![{title}]({file})")
    write_results(
        options,
        "Learned control against what could replace it",
        tables=tables,
        criteria=criteria,
        notes=notes_on(options, families),
        over="families, worlds and preferences",
        data=data,
    )
    return verdict(tables[0], criteria)


if __name__ == "__main__":
    exit_with(main)
