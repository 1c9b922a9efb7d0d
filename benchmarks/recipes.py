"""How policies are learned: the one that ships, those that move one lever only, and ablations of the first.

All learn by `sec_rl.agents.train` with the same steps, tuned, cloned and evaluated in the lanes that they learn in. A
recipe changes what a policy sees, which of its actions count, or what it learns from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn, VecEnvWrapper

from sec_rl.agents.lanes import LaneController, OneByOne, OpenLanes, StatefulLanes
from sec_rl.agents.learners.cloning import clone, demonstrate
from sec_rl.agents.network import Network
from sec_rl.agents.policy import CARD, Policy, load_policy
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.train import train
from sec_rl.agents.training_plan import TrainingPlan
from sec_rl.agents.tuning import Tuned, tune_schedules
from sec_rl.backends.simulator.model import Simulator
from sec_rl.envs.action import ActionMode, lever_entries
from sec_rl.envs.batch import PreferenceBatch
from sec_rl.envs.observation import OBSERVATION_NAMES, encode_wishes
from sec_rl.errors import InputError
from sec_rl.values import Levers, Preference

Floats = NDArray[np.float32]
_PROGRESS = OBSERVATION_NAMES.index("progress")
# Share of a run after which the sequence turns from data to compression.
_TURN = 0.5


def _data_only(_: Floats, actions: Floats) -> Floats:
    """Never compress; where a target asks for it, the environment does, as late as it can."""
    return np.stack([actions[:, 0], np.full(len(actions), -1.0, np.float32)], axis=1)


def _compression_only(_: Floats, actions: Floats) -> Floats:
    """Buy all labels at once."""
    return np.stack([np.ones(len(actions), np.float32), actions[:, 1]], axis=1)


def _sequential(observations: Floats, actions: Floats) -> Floats:
    """Choose data in the first half of the run, then keep it and compress."""
    early = observations[:, _PROGRESS] < _TURN
    data, compression = actions.T
    return np.stack([np.where(early, data, 0.0), np.where(early, -1.0, compression)], axis=1).astype(np.float32)


# Which actions count: (observations, what was answered) -> what is done.
RULES: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "joint": lambda _, actions: actions,
    "data only": _data_only,
    "compression only": _compression_only,
    "sequential": _sequential,
}


@dataclass(frozen=True)
class Recipe:
    """How a policy is learned; the defaults are those of `sec-rl train`.

    Attributes:
        rule: key of `RULES`.
        hidden: entries of the observation that always show what the default preference, or no change, would.
        randomised: draw tasks between the recorded ones, and a sensitivity; else the recorded ones as they are.
        kin: a family's own law is drawn for tasks like its own only; else for any.
        episodes: recorded episodes that the simulator is fitted to; None: all.
        algorithm: key of `sec_rl.agents.learners.algorithms.ALGORITHMS`.
        cloned: start as the clone of a schedule; else with random weights.
        anchored: leaving the schedule costs something, of PPO.
        levers: the action has the four entries of the levers, too.
        responsive: the schedule that is cloned buys labels as a run suggests; else as its preference's grid says.
    """

    rule: str = "joint"
    hidden: tuple[str, ...] = ()
    randomised: bool = True
    kin: bool = True
    episodes: int | None = None
    algorithm: str = "ppo"
    cloned: bool = True
    anchored: bool = True
    levers: bool = False
    responsive: bool = True


POLICY = "policy"
LEARNED: Mapping[str, Recipe] = {
    POLICY: Recipe(),
    "data-only PPO": Recipe("data only"),
    "compression-only PPO": Recipe("compression only"),
    "sequential PPO": Recipe("sequential"),
}
_WISHES = OBSERVATION_NAMES[OBSERVATION_NAMES.index("accuracy_weight") :]
_SLOPES = ("accuracy_slope", "loss_slope")
# What says how the run is going; without it, a policy is a schedule that reads the preference.
_FEEDBACK = ("accuracy_over_chance", "accuracy_since_first", "accuracy_below_best", "loss", *_SLOPES)
ABLATIONS: Mapping[str, Recipe] = {
    "without the preference": Recipe(hidden=_WISHES),
    "without slopes": Recipe(hidden=_SLOPES),
    "without accuracy and loss": Recipe(hidden=_FEEDBACK),
    "without domain randomisation": Recipe(randomised=False),
    "own laws for any task": Recipe(kin=False),
    "from 25 episodes": Recipe(episodes=25),
    "from 50 episodes": Recipe(episodes=50),
    "from 100 episodes": Recipe(episodes=100),
    "SAC": Recipe(algorithm="sac"),
    "DQN on a grid": Recipe(algorithm="dqn"),
    "cross-entropy": Recipe(algorithm="cross-entropy"),
    "without cloning": Recipe(cloned=False),
    "without the anchor": Recipe(anchored=False),
    "with levers": Recipe(levers=True),
    "from labels by preference alone": Recipe(responsive=False),
}


def _hide(observations: Floats, hidden: tuple[str, ...]) -> Floats:
    if not hidden:
        return observations
    shown = np.array(observations, np.float32)
    neutral = dict(zip(_WISHES, encode_wishes(PreferenceBatch.of([Preference()]))[0], strict=True))
    for name in hidden:
        shown[..., OBSERVATION_NAMES.index(name)] = neutral.get(name, 0.0)
    return shown


class RecipeLanes(VecEnvWrapper):
    """Lanes as a recipe's policy meets them.

    Args:
        env: the lanes.
        recipe: what is hidden, and which actions count.
    """

    def __init__(self, env: VecEnv, recipe: Recipe) -> None:
        super().__init__(env)
        self._recipe, self._seen = recipe, np.zeros((env.num_envs, len(OBSERVATION_NAMES)), np.float32)

    def reset(self) -> Any:
        """Reset the lanes."""
        self._seen = np.asarray(self.venv.reset(), np.float32)
        return _hide(self._seen, self._recipe.hidden)

    def step_async(self, actions: Any) -> None:
        """Take note of the actions that count."""
        self.venv.step_async(RULES[self._recipe.rule](self._seen, np.asarray(actions, np.float32)))

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self._seen = np.array(observations, np.float32)
        for lane in np.flatnonzero(dones):
            infos[lane]["terminal_observation"] = _hide(infos[lane]["terminal_observation"], self._recipe.hidden)
        return _hide(self._seen, self._recipe.hidden), rewards, dones, infos

    def state_dict(self) -> dict[str, Any]:
        """Return the state, see `StatefulLanes`."""
        return {"lanes": cast(StatefulLanes, self.venv).state_dict(), "seen": self._seen.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        cast(StatefulLanes, self.venv).load_state_dict(state["lanes"])
        self._seen = state["seen"].copy()


@dataclass
class RecipeController(OneByOne):
    """A recipe's policy in lanes where everything is shown and every action counts.

    Attributes:
        policy: what was learned.
        recipe: how.
    """

    policy: LaneController
    recipe: Recipe

    def act(self, observations: Floats) -> Floats:
        """Return the actions, (lanes, 2)."""
        return RULES[self.recipe.rule](observations, self.policy.act(_hide(observations, self.recipe.hidden)))


def lanes_of(simulator: Simulator, recipe: Recipe) -> OpenLanes:
    """Return what opens the lanes that a recipe learns in."""
    if not recipe.kin:
        # Of a family without a law of its own, to which any may apply.
        nobody = np.full(len(simulator.tasks), float(simulator.ensemble.n_members))
        simulator = replace(simulator, tasks=replace(simulator.tasks, family=nobody))
    tasks, draw = simulator.tasks, None
    if not recipe.randomised:
        simulator = replace(simulator, noise=replace(simulator.noise, sensitivity=0.0))

        def draw(n: int, generator: np.random.Generator) -> Any:
            return tasks.take(generator.integers(0, len(tasks), n))

    plain = recipe.rule == "joint" and not recipe.hidden
    mode: ActionMode = "levers" if recipe.levers else "ratios"

    def open_lanes(n_lanes: int, seed: int) -> VecEnv:
        env = SimulatorVecEnv(simulator, n_lanes, seed, draw=draw, mode=mode)
        return env if plain else RecipeLanes(env, recipe)

    return open_lanes


def unlearned(like: Network, seed: int) -> Network:
    """Return a network of the same layers and normaliser with random weights; it hardly acts yet."""
    generator = np.random.default_rng(seed)
    weights = [generator.normal(0.0, 1.0 / np.sqrt(each.shape[1]), each.shape) for each in like.weights]
    weights[-1] *= 0.01
    return Network(
        like.mean,
        like.scale,
        tuple(each.astype(np.float32) for each in weights),
        tuple(np.zeros_like(each) for each in like.biases),
        like.squash,
    )


def with_levers(network: Network) -> Network:
    """Return a network that answers the same, and asks for the default levers."""
    entries = lever_entries(Levers())
    last, bias = network.weights[-1], network.biases[-1]
    silent = np.zeros((len(entries), last.shape[1]), np.float32)
    return replace(
        network,
        weights=(*network.weights[:-1], np.concatenate([last, silent])),
        biases=(*network.biases[:-1], np.concatenate([bias, entries])),
    )


def learn_recipe(
    recipe: Recipe,
    simulator: Simulator,
    folder: Path,
    like: Policy,
    *,
    steps: int | None,
    seed: int,
    tuned: Callable[[], Tuned] | None = None,
) -> RecipeController:
    """Learn a policy, or load the one that was learned already.

    Args:
        recipe: how.
        simulator: that it learns in; fitted to `recipe.episodes` episodes.
        folder: of the policy.
        like: a policy whose layers and normaliser one with random weights takes over.
        steps: environment steps at most; None: the default of `sec-rl train`.
        seed: of everything random.
        tuned: returns the best schedules in the recipe's lanes, asked for only if something is learned; None: they
            are found anew.
    """
    if not (folder / CARD).is_file():
        # Random weights are nothing to stay close to.
        adrift = recipe.algorithm == "ppo" and not (recipe.anchored and recipe.cloned)
        plan = TrainingPlan(recipe.algorithm, seed=seed, settings={"anchor": 0.0} if adrift else {})
        if steps is not None:
            plan = replace(plan, steps=steps)
        lanes, found = lanes_of(simulator, recipe), None if tuned is None else tuned()
        start = None if recipe.cloned else Policy(unlearned(like.network, seed))
        if recipe.levers or not recipe.responsive:
            found = found or tune_schedules(lanes)
            teacher = found.responsive if recipe.responsive else found.preferred
            network = clone(demonstrate(lanes(plan.lanes, seed), teacher, seed=seed), squash="clip", seed=seed)
            start = Policy(with_levers(network), "levers") if recipe.levers else Policy(network)
        about = {"recipe": asdict(recipe), "families": simulator.about.get("families")}
        train(
            lanes,
            folder,
            plan,
            start=start,
            tuned=found,
            provenance=about,
            overwrite=True,
        )
    return RecipeController(load_policy(folder), recipe)


def few_episodes(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return some of the recorded episodes, of every setting a dense one first.

    Args:
        table: see `sec_rl.agents.traces`.
        count: episodes to keep.
        seed: of the choice.

    Raises:
        InputError: that is fewer than there are settings.
    """
    heads = table[table["segment"] == 0].sample(frac=1.0, random_state=seed)
    dense = heads[heads["controller"] == "dense"].drop_duplicates(["task", "pool_size", "budget"])
    if count < len(dense):
        raise InputError(f"{count} episodes were asked for; {len(dense)} settings need a dense one each.")
    others = heads[~heads["episode"].isin(set(dense["episode"]))]
    kept = [*dense["episode"], *others["episode"][: count - len(dense)]]
    return table[table["episode"].isin(kept)].reset_index(drop=True)
