"""Everything that is learned for one left-out family, by name and seed; what is there already is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.options import Options
from benchmarks.prepared import Prepared, digest, load_preferred, save_preferred
from benchmarks.recipes import (
    ABLATIONS,
    LEARNED,
    POLICY,
    Recipe,
    RecipeController,
    few_episodes,
    lanes_of,
    learn_recipe,
)
from sec_rl.agents.calibrate import calibrate
from sec_rl.agents.policy import CARD, Policy, load_policy
from sec_rl.agents.preferred import PreferredSchedule
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.traces import read_traces
from sec_rl.agents.train import train
from sec_rl.agents.training_plan import QUICK_STEPS, REAL_LANES, REAL_SEGMENTS, real_plan
from sec_rl.agents.tuning import Tuned, tune_schedules
from sec_rl.backends.simulator.model import DESCRIPTION, Simulator, load_simulator

# Environment steps of every policy here, a quarter of `sec-rl train`'s default: there are dozens of them. The rate
# falls to 0 by then.
STEPS = 1_000_000
# Runs of the left-out family that a policy goes on learning in, where it is finetuned.
REAL_RUNS = 10
FINETUNED = f"finetuned by {REAL_RUNS} runs of the family"
# Controllers that practised in the family that everybody else has never seen.
KNOWING, KNOWING_SCHEDULES = "PPO in the family itself", "best per preference in the family itself"
KNOWING_ONE_LEVER = "compression-only PPO in the family itself"


@dataclass
class Learners:
    """Learns without one family.

    Attributes:
        simulator: without the family.
        prepared: where policies are kept, the first one among them.
        judged: folder of what was learned in a judge's own worlds, and not in another's.
        options: of the benchmark.
        say: takes one line of progress.
    """

    simulator: Simulator
    prepared: Prepared
    judged: Path
    options: Options
    say: Callable[[str], None]
    _tuned: dict[Recipe, Tuned] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Environment steps of a policy."""
        return QUICK_STEPS if self.options.quick else STEPS

    @property
    def base(self) -> Policy:
        """The first policy."""
        return load_policy(self.prepared.folder / "policy")

    def controller(self, name: str, seed: int = 0) -> RecipeController:
        """Return a recipe's controller.

        Args:
            name: key of `LEARNED` or `ABLATIONS`.
            seed: of everything random in its learning.
        """
        if name == POLICY and seed == 0:
            return RecipeController(self.base, LEARNED[POLICY])
        recipe = LEARNED[name] if name in LEARNED else ABLATIONS[name]
        simulator = self.simulator if recipe.episodes is None else self._fewer(recipe.episodes)
        folder = self.prepared.folder / f"{name}-seed{seed}".replace(" ", "_")
        self.say(f"{self.prepared.folder.name}: {name}, learner {seed} ...")
        return learn_recipe(
            recipe,
            simulator,
            folder,
            self.base,
            steps=self.steps,
            seed=seed,
            tuned=lambda: self._tune(recipe, simulator),
        )

    def finetuned(self, family: Simulator) -> RecipeController:
        """Return the first policy after `REAL_RUNS` more runs, on the left-out family itself.

        It learns as `sec-rl train --backend bert` does, in a few lanes and small steps; but the runs are those of the
        judge, which stands for real training in everything that is simulated.

        Args:
            family: simulator of the left-out family.
        """
        folder, settings = self.judged / "finetuned", family.tasks
        start = self.base
        if not (folder / CARD).is_file():
            self.say(f"{self.prepared.folder.name}: finetuning in {REAL_RUNS} runs of the family ...")
            runs = SimulatorVecEnv(
                family,
                REAL_LANES,
                seed=0,
                draw=lambda n, generator: settings.take(generator.integers(0, len(settings), n)),
                segments=(REAL_SEGMENTS,),
            )
            plan = real_plan("ppo", REAL_RUNS * REAL_SEGMENTS, seed=0)
            recipe = LEARNED[POLICY]
            train(
                lanes_of(self.simulator, recipe),
                folder,
                plan,
                start=start,
                tuned=self._tune(recipe, self.simulator),
                learn_in=runs,
                overwrite=True,
            )
        return RecipeController(load_policy(folder), LEARNED[POLICY])

    def knowing(self, family: Simulator) -> dict[str, RecipeController | PreferredSchedule]:
        """Return what practised in the family itself, without end: a bound for whatever trains once.

        They know all the family's worlds, and not which of them they are in. No method could have learned them: they
        say what of a search's lead is knowledge of the one world it searches in.

        Args:
            family: simulator of the left-out family.
        """
        found: dict[str, RecipeController | PreferredSchedule] = {}
        practised = {
            KNOWING: Recipe(randomised=False),
            KNOWING_ONE_LEVER: Recipe("compression only", randomised=False),
        }
        # Each is tuned at most once, and only if something is missing.
        tuned = {label: cache(partial(tune_schedules, lanes_of(family, each))) for label, each in practised.items()}
        for label, recipe in practised.items():
            self.say(f"{self.prepared.folder.name}: {label} ...")
            folder = self.judged / label.replace(" ", "_")
            found[label] = learn_recipe(
                recipe, family, folder, self.base, steps=self.steps, seed=0, tuned=tuned[label]
            )
        schedules = self.judged / "preferred.json"
        if not schedules.is_file():
            save_preferred(tuned[KNOWING]().preferred, schedules)
        return found | {KNOWING_SCHEDULES: load_preferred(schedules)}

    def _tune(self, recipe: Recipe, simulator: Simulator) -> Tuned:
        """Return the best schedules in a recipe's lanes, which do not depend on how it learns, nor on the seed."""
        lanes = replace(recipe, algorithm="ppo", cloned=True, levers=False, responsive=True)
        if lanes not in self._tuned:
            self._tuned[lanes] = tune_schedules(lanes_of(simulator, recipe))
        return self._tuned[lanes]

    def _fewer(self, episodes: int) -> Simulator:
        """Return a simulator fitted to fewer of the episodes."""
        folder = self.prepared.folder
        place = folder / f"simulator-{episodes}"
        if not (place / DESCRIPTION).is_file():
            self.say(f"fitting a simulator to {episodes} episodes ...")
            traces = folder / f"traces-{episodes}"
            traces.mkdir(exist_ok=True)
            table = read_traces(shipped_traces())
            rest: pd.DataFrame = table[table["family"].isin(self.simulator.about["families"])]
            few_episodes(rest, episodes, seed=0).to_parquet(traces / "episodes.parquet", index=False)
            calibrate(traces, place, quick=self.options.quick)
        return load_simulator(place)


def fingerprint(controller: RecipeController | PreferredSchedule) -> str:
    """Return what tells a controller from others: a table by what it holds, a policy by its weights."""
    if isinstance(controller, PreferredSchedule):
        return digest(controller)
    policy: Any = controller.policy
    return str(policy.network.fingerprint())
