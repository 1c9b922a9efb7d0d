"""Fitting a simulator to recorded episodes, and judging it on families of tasks that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from sec_rl.agents.episode_plan import FAMILIES
from sec_rl.agents.fit_dynamics import fit_ensemble, fit_sensitivity, free_run
from sec_rl.agents.fit_noise import fit_noise, fit_persistence, noisy_finals
from sec_rl.agents.recorded_tasks import recorded_tasks
from sec_rl.agents.trace_batch import TraceBatch, trace_batch
from sec_rl.agents.traces import digest, read_traces, without
from sec_rl.backends.simulator.curves import CostCurves, fit_curves
from sec_rl.backends.simulator.dynamics import Ensemble
from sec_rl.backends.simulator.model import DESCRIPTION, Noise, Simulator, save_simulator
from sec_rl.backends.simulator.tasks import accuracy_of
from sec_rl.envs.utility import utility
from sec_rl.errors import InputError, RunFolderError, unknown_name
from sec_rl.values import Metrics, Preference

MEMBERS, EPOCHS = 8, 250
# Members that are fitted to one family alone.
OWN_MEMBERS = 2
QUICK_MEMBERS, QUICK_EPOCHS = 2, 60
COVERAGES = (0.5, 0.8, 0.95)


def calibrate(
    traces: str | Path,
    out: str | Path,
    *,
    leave_out: Sequence[str] = (),
    overwrite: bool = False,
    seed: int = 0,
    quick: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Fit a simulator and write its folder.

    Some members of the ensemble are fitted to the episodes of all families, others to those of one family alone: a
    new task may be as far from what is common to all as each of them is, and a policy that learned in the common law
    only relies on it where it does not hold.

    For the report every family is left out once: an ensemble is fitted to the others and runs the family's episodes
    freely, from the opened session to the end, under the ratios that were realised. Of a left-out task it knows its
    descriptors, the level of dense training among them (`sec_rl.backends.simulator.tasks`). Errors are those of the
    common law, which predicts best; intervals are those of all members.

    Args:
        traces: folder of recorded episodes.
        out: folder of the simulator.
        leave_out: families, or tasks of theirs, to leave out of everything.
        overwrite: replace an earlier simulator.
        seed: of the fit.
        quick: a smoke test.
        on_progress: takes a line at a time.

    Returns:
        what `simulator.json` says of the fit: `left_out` per family, `overall`, and where it came from.

    Raises:
        InputError: there are no episodes, no such family, or a setting lacks a dense one.
        RunFolderError: `out` is not empty.

    Examples:
        >>> from sec_rl import calibrate
        >>> about = calibrate("runs/traces", "runs/simulator")
        >>> sorted(about["left_out"]) == about["families"]
        True
    """
    traces, out = Path(traces), Path(out)
    if out.exists() and any(out.iterdir()) and not (overwrite and (out / DESCRIPTION).exists()):
        raise RunFolderError(f"{str(out)!r} is not empty; give another folder, or --overwrite for a simulator.")
    say = on_progress or (lambda _: None)
    table = read_traces(traces)
    # A task stands for its family: whoever shares its texts is left out, too.
    left = {FAMILIES.get(name, name) for name in leave_out}
    known = set(table["family"])
    for name in sorted(left - known):
        raise unknown_name("family of recorded episodes", name, known)
    table = without(table, left)
    if table.empty:
        raise InputError(f"Without {', '.join(sorted(left))} no recorded episode is left to fit a simulator to.")
    tasks, names = recorded_tasks(table)
    batch = trace_batch(table, tasks)
    curves = cost_curves(table)
    members, epochs = (QUICK_MEMBERS, QUICK_EPOCHS) if quick else (MEMBERS, EPOCHS)
    families = sorted(str(each) for each in set(batch.families))
    folds = _left_out(batch, families, members, epochs, seed, say) if len(families) > 1 else {}
    left_out: dict[str, dict[str, Any]] = {}
    for family, fold in folds.items():
        # Neither noise nor spread of sensitivities may know the family that they are judged on.
        others = [other for name, other in folds.items() if name != family]
        everyone = Ensemble.joined([fold.ensemble, *(other.alone for other in others)])
        left_out[family] = judge(fold.ensemble, curves, fold.own, table)
        left_out[family]["coverage"] = _coverage(everyone, _noise(others), fold.own)
        left_out[family]["sensitivity"] = fold.sensitivity[0]
    say(f"fitting {members} members to {len(batch)} episodes ...")
    common = fit_ensemble(batch, n_members=members, epochs=epochs, seed=seed)
    ensemble = Ensemble.joined([common, *(fold.alone for fold in folds.values())])
    about = {
        "episodes": len(batch),
        "families": families,
        "sha256": digest(table),
        "seed": seed,
        "cost_error": _cost_error(table, curves),
        "left_out": left_out,
        "overall": _overall(left_out),
    }
    noise = _noise(list(folds.values())) if folds else fit_noise(ensemble, batch, fit_persistence(batch))
    simulator = Simulator(ensemble, noise, curves, tasks, names, about)
    save_simulator(simulator, out)
    return about


@dataclass(frozen=True)
class _Fold:
    """One family left out.

    Attributes:
        own: its episodes.
        ensemble: fitted to all others.
        alone: fitted to `own`, and standing for this family only.
        noise: what that ensemble leaves unexplained of single segments of `own`.
        sensitivity: of the family, under that ensemble, and the standard error of its logarithm.
    """

    own: TraceBatch
    ensemble: Ensemble
    alone: Ensemble
    noise: Noise
    sensitivity: tuple[float, float]


def _left_out(
    batch: TraceBatch, families: Sequence[str], members: int, epochs: int, seed: int, say: Callable[[str], None]
) -> dict[str, _Fold]:
    folds = {}
    for count, family in enumerate(families, 1):
        is_own = batch.families == family
        own, others = batch.take(np.flatnonzero(is_own)), batch.take(np.flatnonzero(~is_own))
        ensemble = fit_ensemble(others, n_members=members, epochs=epochs, seed=seed)
        alone = fit_ensemble(own, n_members=OWN_MEMBERS, epochs=epochs, seed=seed)
        folds[family] = _Fold(
            own,
            ensemble,
            replace(alone, family=np.full(OWN_MEMBERS, own.tasks.family[0])),
            fit_noise(ensemble, own, fit_persistence(own)),
            fit_sensitivity(ensemble, own),
        )
        say(f"[{count}/{len(families)}] fitted without {family}")
    return folds


def _noise(folds: Sequence[_Fold]) -> Noise:
    """Return noise as it is on left-out families: an ensemble's own ones would flatter it."""
    sensitivities, errors = np.array([fold.sensitivity for fold in folds]).T
    # Around 0: that is the law as it was fitted. What the estimates' own errors add to their spread is no spread of
    # tasks.
    spread = max(0.0, float(np.mean(np.log(sensitivities) ** 2 - errors**2)))
    return Noise(
        np.mean([fold.noise.weights for fold in folds], axis=0),
        sensitivity=spread**0.5,
        persistence=float(np.median([fold.noise.persistence for fold in folds])),
    )


def judge(ensemble: Ensemble, curves: CostCurves, batch: TraceBatch, table: pd.DataFrame) -> dict[str, Any]:
    """Return the errors of an ensemble on episodes that it was not fitted to."""
    points = 100.0 * (1.0 - batch.tasks.majority)
    free = free_run(ensemble, batch).mean(axis=0)[:, :, 0]
    final = free[np.arange(len(batch)), batch.last]
    errors = np.abs(final - batch.final) * points
    controlled = batch.controllers != "dense"
    by_segment = np.abs(free - batch.states[:, 1:, 0]) * points[:, None]
    real, simulated = _utilities(batch, final, curves, table)
    return {
        "episodes": len(batch),
        "final_error_points": float(errors.mean()),
        "final_error_points_without_dense": float(errors[controlled].mean()) if controlled.any() else None,
        "segment_error_points": float(by_segment[batch.learned].mean()),
        "rank_correlation": float(spearmanr(real, simulated).statistic) if len(batch) > 2 else None,
    }


def _utilities(
    batch: TraceBatch, final: NDArray[np.float64], curves: CostCurves, table: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return real and simulated utility of every episode under the default preference."""
    ends = table[table["segment"] == table["n_segments"]].set_index("episode")
    starts = table[table["segment"] == 0].set_index("episode")["size_ratio"]
    accuracies = accuracy_of(final, batch.tasks)
    real, simulated = [], []
    for index, name in enumerate(batch.episodes):
        row: dict[str, Any] = dict(ends.loc[name])
        values = {key: row[key] for key in Metrics.__dataclass_fields__ if key != "source"}
        measured = replace(Metrics("measured", **values), validation_accuracy=float(row["final_accuracy"]))
        reference = float(batch.tasks.dense_accuracy[index])
        real.append(utility(measured, Preference(), reference))
        at = np.array([float(row["compression_ratio"])])
        predicted = replace(
            measured,
            validation_accuracy=float(accuracies[index]),
            size_ratio=float(curves.size_ratio(at, np.array([float(starts[name])]))[0]),
            latency_ratio=float(curves.latency_ratio(at)[0]),
        )
        simulated.append(utility(predicted, Preference(), reference))
    return np.array(real), np.array(simulated)


def _coverage(ensemble: Ensemble, noise: Noise, batch: TraceBatch) -> dict[str, float]:
    """Return how often the final accuracy lies in the simulator's intervals."""
    finals = noisy_finals(ensemble, noise, batch, np.random.default_rng(0))
    found = {}
    for coverage in COVERAGES:
        low, high = np.quantile(finals, [(1.0 - coverage) / 2.0, (1.0 + coverage) / 2.0], axis=0)
        found[f"{coverage:g}"] = float(((low <= batch.final) & (batch.final <= high)).mean())
    return found


def cost_curves(table: pd.DataFrame) -> CostCurves:
    """Return size and latency over the compression ratio, as the sessions of a table predicted them."""
    return fit_curves(*_costs(table))


def _costs(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    opened = table[table["segment"] == 0].set_index("episode")["size_ratio"]
    saved = table["episode"].map(opened).to_numpy(float) - table["size_ratio"].to_numpy(float)
    return table["compression_ratio"].to_numpy(float), table["latency_ratio"].to_numpy(float), saved


def _cost_error(table: pd.DataFrame, curves: CostCurves) -> dict[str, float]:
    """Return the mean absolute error of the analytic costs, in units of the dense fp32 model's."""
    compression, latency, saved = _costs(table)
    return {
        "latency_ratio": float(np.abs(curves.latency_ratio(compression) - latency).mean()),
        "size_ratio": float(np.abs(curves.size_saved(compression) - saved).mean()),
    }


def _overall(left_out: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the means over families, every family weighing the same; what no family has is left out."""
    keys = ("final_error_points", "segment_error_points", "rank_correlation")
    known = {key: [scores[key] for scores in left_out.values() if scores[key] is not None] for key in keys}
    return {key: float(np.mean(values)) for key, values in known.items() if values}
