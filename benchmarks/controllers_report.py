"""From what was played to tables and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimates import Criterion, Estimate
from benchmarks.families import Family
from benchmarks.learned import KNOWING_ONE_LEVER
from benchmarks.opponents import BUDGETS, CUBIC, DENSE, PER_PREFERENCE, TPE
from benchmarks.recipes import LEARNED, POLICY
from benchmarks.spent import curve, hypervolumes, kept, overtakes
from benchmarks.stratified import gaps, improvement, interquartile, lower_end, mean
from benchmarks.worlds import LABELS, PREFERENCES, UTILITY
from benchmarks.writing import markdown_table

# Trainings of a world, over all its preferences, after which the front is measured.
FRONT_SIZES = [1, 2, 5, 10, 20, 50, 100, 200]
DIGITS = 4
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One method at one number of trainings.

    Attributes:
        name: of the method, with the number where it is a search.
        method: key of `Family.outcomes`.
        trainings: for one preference.
        utility: per family (worlds, preferences) of what is kept.
        learners: policies that worlds took turns with; 1: what was played did not depend on a learner.
    """

    name: str
    method: str
    trainings: int
    utility: list[Values]
    learners: int = 1


def lines_of(families: Sequence[Family]) -> list[Line]:
    """Return all methods; searches once for every number of trainings in `BUDGETS`."""
    lines = []
    for method in families[0].outcomes:
        searches, whole = method in families[0].searches, families[0].spent[method].trainings
        for number in [budget for budget in BUDGETS if budget <= whole] if searches else [whole]:
            utility = [kept(family.outcomes[method], number if searches else 1)[..., UTILITY] for family in families]
            name = f"{method}, {number} training{'s' if number > 1 else ''}" if searches else method
            learners = families[0].learners if method in LEARNED else 1
            lines.append(Line(name, method, number, utility, learners))
    return lines


def _ahead(ours: Line, theirs: Line, statistic: Callable[..., Estimate] = interquartile) -> Estimate:
    """Return what is ahead of what, run by run; learners are resampled where either side has some."""
    return statistic(gaps(ours.utility, theirs.utility), max(ours.learners, theirs.learners))


def _named(lines: Sequence[Line], method: str, trainings: int | None = None) -> Line:
    return next(line for line in lines if line.method == method and trainings in (None, line.trainings))


def overtaken_after(families: Sequence[Family], search: str = TPE) -> int | None:
    """Return after how many trainings a search is ahead of the policy's one, by the mean; None: not yet."""
    policy = [kept(family.outcomes[POLICY], 1)[..., UTILITY].ravel() for family in families]
    curves = [curve(family.outcomes[search]) for family in families]
    return overtakes(np.concatenate(policy), np.concatenate([each.reshape(-1, each.shape[-1]) for each in curves]))


def judge(lines: Sequence[Line]) -> list[Criterion]:
    """Return what has to be shown: level with 20 trainings of a search, ahead of control of one lever at a time."""
    policy = _named(lines, POLICY)
    search = _named(lines, TPE, max(BUDGETS))
    gain = _ahead(policy, search)
    criteria = [Criterion(f"policy with one training minus {search.name}, interquartile mean", gain, "at least", 0.0)]
    for method in [name for name in LEARNED if name != POLICY]:
        found = _ahead(policy, _named(lines, method))
        name = f"policy minus {method}, lower end of the interval of the interquartile mean"
        criteria.append(Criterion(name, lower_end(found), "at least", 0.0))
    return criteria


def _spent(families: Sequence[Family], line: Line) -> tuple[float, float]:
    """Return passes for one model, and those of recorded episodes, means over families."""
    each = [family.spent[line.method] for family in families]
    passes = np.mean([spent.passes / spent.trainings * line.trainings for spent in each])
    return float(passes), float(np.mean([spent.recorded_passes for spent in each]))


def method_table(families: Sequence[Family], lines: Sequence[Line]) -> str:
    """Return a line per method: what it spent, what it reached, and what the policy has ahead of it."""
    policy = _named(lines, POLICY)
    header = [
        "method",
        "trainings",
        "passes",
        "passes of other tasks, once",
        "utility, interquartile mean",
        "mean",
        "policy ahead by, interquartile mean",
        "policy ahead by, mean",
        "policy ahead in, % of runs",
    ]
    rows = []
    for line in lines:
        passes, recorded = _spent(families, line)
        ahead = ["", "", ""]
        if line is not policy:
            share = improvement(policy.utility, line.utility, policy.learners).times(100.0)
            ahead = [*(_ahead(policy, line, each).text(DIGITS) for each in (interquartile, mean)), share.text(0)]
        utility = [each(line.utility, line.learners).text(DIGITS) for each in (interquartile, mean)]
        rows.append([line.name, str(line.trainings), f"{passes:,.0f}", f"{recorded:,.0f}", *utility, *ahead])
    return markdown_table(header, rows)


def _rivals(lines: Sequence[Line]) -> list[Line]:
    """Return those that the policy is compared with one by one."""
    others = [_named(lines, name) for name in LEARNED if name != POLICY]
    return [_named(lines, PER_PREFERENCE), _named(lines, CUBIC), _named(lines, TPE, max(BUDGETS)), *others]


def _part(line: Line, families: slice = slice(None), preferences: slice = slice(None)) -> Line:
    return replace(line, utility=[each[:, preferences] for each in line.utility[families]])


def family_table(families: Sequence[Family], lines: Sequence[Line]) -> str:
    """Return what the policy has ahead in each family, interquartile means, and how well its judge knows it."""
    policy, rivals = _named(lines, POLICY), _rivals(lines)
    rows = []
    for index, family in enumerate(families):
        ours, *theirs = (_part(line, families=slice(index, index + 1)) for line in (policy, *rivals))
        rows.append([family.name, *(_ahead(ours, each).text(DIGITS) for each in theirs)])
    for family, row in zip(families, rows, strict=True):
        error = family.judge.get("half_error_points")
        row.append("" if error is None else f"{error:.1f}")
    header = ["policy ahead of", *(rival.name for rival in rivals), "judge's error on unseen episodes, points"]
    return markdown_table(header, rows)


def preference_table(families: Sequence[Family], lines: Sequence[Line]) -> str:
    """Return what the policy has ahead under each preference, means over families, and the labels that it buys.

    Means, since what a preference costs in a single family is what one looks for here.
    """
    policy, rivals = _named(lines, POLICY), _rivals(lines)
    rows = []
    for place, name in enumerate(PREFERENCES):
        under = slice(place, place + 1)
        ours, *theirs = (_part(line, preferences=under) for line in (policy, *rivals))
        cells = [_ahead(ours, each, mean).text(DIGITS) for each in theirs]
        labels = [100 * family.outcomes[POLICY][:, under, 0, LABELS] for family in families]
        rows.append([name, *cells, mean(labels, policy.learners).text(0)])
    header = ["policy ahead, mean, of", *(rival.name for rival in rivals), "labels that it buys, %"]
    return markdown_table(header, rows)


def fronts(families: Sequence[Family]) -> dict[str, list[float | None]]:
    """Return the mean hypervolume per method after each of `FRONT_SIZES` trainings over all preferences."""
    found = {}
    for method in families[0].outcomes:
        rows = [
            hypervolumes(outcomes, float(tasks.dense_accuracy[0]), float(tasks.size_open[0]), FRONT_SIZES)
            for family in families
            for outcomes, tasks in zip(
                family.outcomes[method], (world.simulator.tasks for world in family.worlds), strict=True
            )
        ]
        columns = zip(*rows, strict=True)
        found[method] = [
            None if None in column else float(np.mean(np.array(column, np.float64))) for column in columns
        ]
    return found


def front_table(found: Mapping[str, Sequence[float | None]], spent: Mapping[str, int]) -> str:
    """Return hypervolumes against trainings.

    Args:
        found: see `fronts`.
        spent: trainings of each method for one preference; a method that throws trainings away has fewer models.
    """
    rows = []
    for method, values in found.items():
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        rows.append([method if spent[method] == 1 else f"{method} ({spent[method]} per preference)", *cells])
    return markdown_table(["hypervolume after, models", *map(str, FRONT_SIZES)], rows)


def bound_table(families: Sequence[Family], lines: Sequence[Line]) -> str:
    """Return how far practice in the left-out family itself would get one training: a bound, and no method."""
    search, bounds = _named(lines, TPE, max(BUDGETS)), _bounds(families)
    one_lever = bounds[KNOWING_ONE_LEVER]
    rows = []
    for name, bound in bounds.items():
        ahead = [_ahead(bound, other) for other in (_named(lines, POLICY), search, one_lever)]
        cells = [each.text(DIGITS) for each in (interquartile(bound.utility), *ahead)]
        rows.append([name, *(cells if bound is not one_lever else [*cells[:-1], ""])])
    header = [
        "one training could reach",
        "utility, interquartile mean",
        "ahead of the policy",
        f"ahead of {search.name}",
        f"ahead of {one_lever.name}",
    ]
    return markdown_table(header, rows)


def _bounds(families: Sequence[Family]) -> dict[str, Line]:
    """Return what practised in the families themselves."""
    return {
        name: Line(name, name, 1, [family.bounds[name][..., UTILITY] for family in families])
        for name in families[0].bounds
    }


def gains_over_dense(lines: Sequence[Line]) -> dict[str, Values]:
    """Return per line what its models are worth beyond int8 of the dense model, over all runs, (runs,)."""
    dense = _named(lines, DENSE)
    return {line.name: np.concatenate([gap.ravel() for gap in gaps(line.utility, dense.utility)]) for line in lines}


def learning_curves(families: Sequence[Family]) -> dict[str, list[Estimate]]:
    """Return per search its interquartile mean after 1, 2, ... trainings."""
    found = {}
    for method in families[0].searches:
        curves = [curve(family.outcomes[method]) for family in families]
        found[method] = [interquartile([each[..., n] for each in curves]) for n in range(curves[0].shape[-1])]
    return found


def rounded(outcomes: Mapping[str, Values]) -> dict[str, Any]:
    """Return the utility of outcomes (worlds, preferences, 6), JSON-ready."""
    return {name: found[..., UTILITY].round(5).tolist() for name, found in outcomes.items()}


def data_of(families: Sequence[Family], lines: Sequence[Line]) -> dict[str, Any]:
    """Return everything played, JSON-ready."""
    return {
        "families": {
            family.name: {
                "judge": dict(family.judge),
                "spent": {method: spent.to_dict() for method, spent in family.spent.items()},
                "utility": {line.name: line.utility[index].round(5).tolist() for line in lines},
                "bounds": rounded(family.bounds),
            }
            for index, family in enumerate(families)
        },
        "tpe_overtakes_after": overtaken_after(families),
        "hypervolume": {"models": FRONT_SIZES, "methods": fronts(families)},
    }
