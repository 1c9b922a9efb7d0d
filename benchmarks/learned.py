"""Everything that is learned for one left-out family, by name and seed; what is there already is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from benchmarks.options import Options
from benchmarks.prepared import Prepared
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
from sec_rl.agents.policy import Policy, load_policy
from sec_rl.agents.shipped import shipped_traces
from sec_rl.agents.traces import read_traces
from sec_rl.agents.training_plan import QUICK_STEPS
from sec_rl.agents.tuning import Tuned, tune_fixed
from sec_rl.backends.simulator.model import DESCRIPTION, Simulator, load_simulator

# Environment steps of every policy here, a quarter of `sec-rl train`'s default: there are dozens of them. The rate
# falls to 0 by then.
STEPS = 1_000_000


@dataclass
class Learners:
    """Learns without one family.

    Attributes:
        simulator: without the family.
        prepared: where policies are kept, the first one among them.
        options: of the benchmark.
        say: takes one line of progress.
    """

    simulator: Simulator
    prepared: Prepared
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

    def _tune(self, recipe: Recipe, simulator: Simulator) -> Tuned:
        """Return the best schedules in a recipe's lanes, which do not depend on how it learns, nor on the seed."""
        lanes = replace(recipe, algorithm="ppo", cloned=True)
        if lanes not in self._tuned:
            self._tuned[lanes] = tune_fixed(lanes_of(simulator, recipe))
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


def fingerprint(controller: RecipeController) -> str:
    """Return what tells a learned controller from others."""
    policy: Any = controller.policy
    return str(policy.network.fingerprint())
