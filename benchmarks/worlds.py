"""Left-out tasks to judge controllers in: simulated, but from their own recorded episodes.

What learned had a simulator without the task's family. The judge is another simulator, of that family:

``own``
    fitted to the family's own episodes only. This is the default. How the family answers to removals and missing
    labels is then what its real runs said, however far that is from what other families predict; a simulator that
    all families share would be nearly the one that was learned in, and would flatter whatever learned in it.
``shared``
    fitted to all families, with the family's own sensitivity. Steadier with few episodes, and easier for whatever
    learned from the other families. It says how much of a verdict is the judge's.

A world is one recorded setting of the family (task, pool, budget) and one member of the judge's ensemble. It stays
the same for all trainings that a search spends in it, and for every controller; validation noise and the luck of a
training are drawn anew for each training, and are the same for every method. What a search chooses by is one
validation split: two thirds of its luck are the world's and add to every model alike, the rest is a model's own. So a
search can learn what the task is like, and cannot see its truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sec_rl.agents.calibrate import cost_curves
from sec_rl.agents.fit_dynamics import fit_ensemble, fit_sensitivity, free_run
from sec_rl.agents.fit_noise import fit_noise, fit_persistence
from sec_rl.agents.record import FINAL_ROWS
from sec_rl.agents.recorded_tasks import recorded_tasks
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.trace_batch import TraceBatch, trace_batch
from sec_rl.backends.simulator.model import Simulator
from sec_rl.envs.batch import PreferenceBatch
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.utility import utility_terms_batch
from sec_rl.errors import InputError
from sec_rl.values import Preference, Ratios

JUDGES = ("own", "shared")
MEMBERS, EPOCHS = 8, 250
QUICK_MEMBERS, QUICK_EPOCHS = 2, 60
# Segments of a run, as in `benchmarks.left_out`.
N_SEGMENTS = 12
# Policies of every recipe, from seeds of their own; worlds take turns with them.
LEARNERS = 4
# Of the variance of a finished model's accuracy on a validation split, the share that another model of the same task
# has in common with it: `benchmarks.shared_luck` measures 0.66 between models of real training.
SHARED_LUCK = 2.0 / 3.0
# What int8 alone makes of the dense fp32 model's latency; about what was timed on two cores.
FORMAT_SPEEDUP = 4.0

# Fixed, so that nobody chose them after a result: trade-offs first, then targets.
PREFERENCES: Mapping[str, Preference] = {
    "balanced": Preference(),
    "accurate": Preference(size_weight=0.004, latency_weight=0.004, label_weight=0.008),
    "fast": Preference(latency_weight=0.03),
    "small": Preference(size_weight=0.03),
    "few labels": Preference(label_weight=0.07),
    "fast, small, few labels": Preference(size_weight=0.025, latency_weight=0.025, label_weight=0.05),
    "8 times faster": Preference(target_speedup=8.0),
    "a tenth of the bytes": Preference(target_size_ratio=0.1),
    "at most a point lost": Preference(latency_weight=0.02, max_accuracy_drop=1.0),
    "12 times faster, at most two points lost": Preference(target_speedup=12.0, max_accuracy_drop=2.0),
}

# What a training ends with, the last axis of every array of outcomes.
MEASURED, UTILITY, ACCURACY, SIZE, LATENCY, LABELS = range(6)
N_OUTCOMES = 6
Outcomes = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """One left-out task, as it truly is.

    Attributes:
        simulator: of one setting and one member.
        seed: of the world; trainings draw from it and their number.
        n_segments: segments of a run.
        preferences: what is asked for, one lane each.
    """

    simulator: Simulator
    seed: int
    n_segments: int = N_SEGMENTS
    preferences: tuple[Preference, ...] = tuple(PREFERENCES.values())

    @property
    def passes(self) -> float:
        """Example passes of one training."""
        return float(self.simulator.tasks.budget[0])

    def lanes(
        self, training: int, copies: int = 1, *, simulator: Simulator | None = None, initial: Ratios = INITIAL
    ) -> SimulatorVecEnv:
        """Open a training for every preference.

        Args:
            training: its number; equal numbers have equal noise, whatever drives them.
            copies: lanes side by side per preference; lane ``i`` serves preference ``i // copies``.
            simulator: opens the task in another simulator instead, such as one to plan with.
            initial: ratios that the first action starts from.
        """
        task = self.simulator.tasks
        return SimulatorVecEnv(
            simulator or self.simulator,
            copies * len(self.preferences),
            int(np.random.SeedSequence([self.seed, training]).generate_state(1)[0]),
            draw=lambda n, _: task.take(np.zeros(n, np.int64)),
            prefer=lambda _, __: self._wishes(copies),
            segments=(self.n_segments,),
            initial=initial,
        )

    def outcomes(self, env: SimulatorVecEnv, training: int = 0) -> Outcomes:
        """Return what the runs of all lanes ended with, (lanes, 6).

        `MEASURED` is the utility that the finished model shows on a validation split of `FINAL_ROWS` rows, which is
        all that a search may choose by; `UTILITY` the same of what the model really has; then its accuracy, bytes and
        latency over dense, and labels.

        Args:
            env: of `lanes`, all runs just ended.
            training: its number, which decides the split's luck.

        Raises:
            RuntimeError: no run has ended.
        """
        wishes = self._wishes(env.num_envs // len(self.preferences))
        reference = np.repeat(self.simulator.tasks.dense_accuracy, env.num_envs)
        return outcomes_of(env, self.luck(training, env.num_envs), wishes, reference)

    def luck(self, training: int, n_lanes: int) -> NDArray[np.float64]:
        """Return what the split that a training is chosen by adds to its accuracy, (lanes,) standard normal."""
        own = np.random.default_rng([self.seed, training, 3]).standard_normal(n_lanes)
        common = np.random.default_rng([self.seed, 4]).standard_normal()
        return np.asarray(np.sqrt(SHARED_LUCK) * common + np.sqrt(1.0 - SHARED_LUCK) * own)

    def _wishes(self, copies: int) -> PreferenceBatch:
        return PreferenceBatch.of([each for each in self.preferences for _ in range(copies)], FORMAT_SPEEDUP)


def outcomes_of(
    env: SimulatorVecEnv, luck: NDArray[np.float64], wishes: PreferenceBatch, reference: NDArray[np.float64]
) -> Outcomes:
    """Return what the runs of all lanes ended with, see `World.outcomes`.

    Args:
        env: all runs just ended.
        luck: see `World.luck`.
        wishes: of the lanes.
        reference: (lanes,) accuracy of dense training.

    Raises:
        RuntimeError: no run has ended.
    """
    ended = env.ended
    if ended is None:
        raise RuntimeError("outcomes() comes after the end of the runs")
    true = env.ended_accuracy
    scored = np.clip(true + np.sqrt(true * (1.0 - true) / FINAL_ROWS) * luck, 0.0, 1.0)
    final = replace(ended, accuracy=true)
    utilities = [
        sum(utility_terms_batch(state, wishes, reference).values())
        for state in (replace(ended, accuracy=scored), final)
    ]
    return np.stack([*utilities, final.accuracy, final.size_ratio, final.latency_ratio, final.label_fraction], axis=1)


def controller_seed(seed: int, training: int) -> int:
    """Return the seed of what is random in a controller, apart from that of the world's noise."""
    return int(np.random.SeedSequence([seed, training, 1]).generate_state(1)[0] // 2)


@dataclass(frozen=True)
class Judge:
    """Draws the worlds of one left-out family.

    Attributes:
        simulator: of the family.
        seconds_per_pass: what an example pass took when the family was recorded.
    """

    simulator: Simulator
    seconds_per_pass: float

    def world(self, seed: int, n_segments: int = N_SEGMENTS) -> World:
        """Draw a setting and a member."""
        # Settings take turns, so that few seeds meet all of them, and every learner does.
        setting = seed // LEARNERS % len(self.simulator.names)
        generator = np.random.default_rng([seed, 5])
        member = int(generator.integers(self.simulator.ensemble.n_members))
        return World(only(self.simulator, setting, [member]), seed, n_segments)


def only(simulator: Simulator, setting: int, members: Sequence[int]) -> Simulator:
    """Return a simulator with one of its settings, some of its members, and no spread of sensitivities."""
    return replace(
        simulator,
        ensemble=simulator.ensemble.take(members),
        noise=replace(simulator.noise, sensitivity=0.0),
        tasks=simulator.tasks.take([setting]),
        names=(simulator.names[setting],),
    )


def open_judge(table: pd.DataFrame, family: str, kind: str, *, quick: bool = False, seed: int = 0) -> Judge:
    """Fit the judge of a family.

    Args:
        table: recorded episodes of all families, see `sec_rl.agents.traces`.
        family: the one that was left out of what learned.
        kind: one of `JUDGES`.
        quick: a smoke test.
        seed: of the fit.

    Raises:
        InputError: no episode is of this family, or the kind is unknown.
    """
    if kind not in JUDGES:
        raise InputError(f"There is no judge {kind!r}; there are {', '.join(JUDGES)}.")
    own_rows = table[table["family"] == family].reset_index(drop=True)
    if own_rows.empty:
        raise InputError(
            f"No recorded episode is of the family {family!r}; there are {', '.join(sorted(set(table['family'])))}."
        )
    members, epochs = (QUICK_MEMBERS, QUICK_EPOCHS) if quick else (MEMBERS, EPOCHS)
    tasks, names = recorded_tasks(own_rows)
    own = trace_batch(own_rows, tasks)
    if kind == "own":
        ensemble = fit_ensemble(own, n_members=members, epochs=epochs, seed=seed)
    else:
        everything = trace_batch(table, recorded_tasks(table)[0])
        ensemble = fit_ensemble(everything, n_members=members, epochs=epochs, seed=seed)
        ensemble = replace(ensemble, effect=ensemble.effect * fit_sensitivity(ensemble, own)[0])
    curves = cost_curves(own_rows)
    about = {
        "episodes": len(own),
        "families": [family],
        "judge": kind,
        "half_error_points": _half_error(own, members, epochs, seed) if kind == "own" else None,
    }
    ends = own_rows[own_rows["segment"] == own_rows["n_segments"]]
    return Judge(
        Simulator(ensemble, fit_noise(ensemble, own, fit_persistence(own)), curves, tasks, names, about),
        float((ends["seconds"] / ends["example_passes"]).mean()),
    )


def _half_error(own: TraceBatch, members: int, epochs: int, seed: int) -> float:
    """Return the error of the final accuracy on each half of some episodes of a fit to the other half, in points."""
    order = np.random.default_rng(seed).permutation(len(own))
    errors = []
    for half in range(2):
        known, unknown = own.take(order[half::2]), own.take(order[1 - half :: 2])
        free = free_run(fit_ensemble(known, n_members=members, epochs=epochs, seed=seed), unknown).mean(axis=0)
        gaps = np.abs(free[np.arange(len(unknown)), unknown.last, 0] - unknown.final)
        errors.append(100.0 * gaps * (1.0 - unknown.tasks.majority))
    return float(np.concatenate(errors).mean())
