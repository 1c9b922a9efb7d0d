"""Recipes of learned controllers, those of the benchmark of controllers and of its ablations."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import learned, recipes
from benchmarks.ablations import Ablated, recipe_table, segment_table
from benchmarks.controllers import read_options
from benchmarks.learned import fingerprint
from benchmarks.prepared import Prepared
from benchmarks.recipes import (
    ABLATIONS,
    LEARNED,
    POLICY,
    RULES,
    Recipe,
    RecipeController,
    RecipeLanes,
    few_episodes,
    lanes_of,
    unlearned,
)
from benchmarks.worlds import N_OUTCOMES, PREFERENCES, Judge, open_judge
from sec_rl.agents import train as training
from sec_rl.agents.evaluate import play
from sec_rl.agents.learners import cloning
from sec_rl.agents.network import HIDDEN, Network
from sec_rl.agents.policy import Policy, save_policy
from sec_rl.agents.shipped import shipped_policy, shipped_simulator
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.training_plan import TrainingPlan, real_plan
from sec_rl.agents.tuning import tune_schedules
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.envs.action import lever_settings
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.errors import InputError
from tests.made_up_traces import made_up_traces


@pytest.fixture(scope="module")
def judged() -> Judge:
    return open_judge(made_up_traces(), "b", "own", quick=True)


def test_one_lever_rules_hold_the_other() -> None:
    observations = np.zeros((2, len(OBSERVATION_NAMES)), np.float32)
    observations[1, OBSERVATION_NAMES.index("progress")] = 0.75
    actions = np.full((2, 2), 0.3, np.float32)
    assert RULES["data only"](observations, actions)[:, 1].tolist() == [-1.0, -1.0]
    assert RULES["compression only"](observations, actions)[:, 0].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(RULES["sequential"](observations, actions), [[0.3, -1.0], [0.0, 0.3]])
    assert set(RULES) == {recipe.rule for recipe in LEARNED.values()}


def random_policy() -> Network:
    sizes = (len(OBSERVATION_NAMES), *HIDDEN, 2)
    layers = list(zip(sizes[1:], sizes[:-1], strict=True))
    zeros = tuple(np.zeros(shape, np.float32) for shape in layers)
    like = Network(
        np.zeros(sizes[0], np.float32), np.ones(sizes[0], np.float32), zeros, tuple(z[:, 0] for z in zeros)
    )
    made = unlearned(like, 0)
    # Loud enough to be seen in an action.
    return replace(made, weights=(*made.weights[:-1], made.weights[-1] * 100.0))


def test_hidden_entries_decide_nothing_and_lanes_do_as_controllers_do(judged: Judge) -> None:
    world = judged.world(3)
    policy = Policy(random_policy())
    recipe = replace(ABLATIONS["without the preference"], rule="data only")
    observations = np.random.default_rng(0).uniform(0.0, 1.0, (4, len(OBSERVATION_NAMES))).astype(np.float32)
    changed = observations.copy()
    changed[:, OBSERVATION_NAMES.index("label_weight")] = 0.9
    blind = RecipeController(policy, recipe)
    np.testing.assert_array_equal(blind.act(observations), blind.act(changed))
    assert (RecipeController(policy, Recipe()).act(observations) != policy.act(changed)).any()
    # What is learned in a recipe's lanes is what is judged in the plain ones.
    inside = play(RecipeLanes(world.lanes(0), recipe), policy, 0)
    outside = play(world.lanes(0), blind, 0)
    np.testing.assert_allclose(inside.returns, outside.returns, atol=1e-6)


def test_recipe_lanes_go_on_from_a_state() -> None:
    simulator = load_simulator(shipped_simulator())
    env = lanes_of(simulator, Recipe("sequential", randomised=False))(8, 0)
    assert isinstance(env, RecipeLanes)
    env.reset()
    actions = np.full((8, 2), 0.4, np.float32)
    env.step(actions)
    state = env.state_dict()
    first = [env.step(actions) for _ in range(12)]
    env.load_state_dict(state)
    again = [env.step(actions) for _ in range(12)]
    for mine, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[1], other[1])
    assert isinstance(lanes_of(simulator, Recipe())(8, 0), SimulatorVecEnv)


def test_fewer_episodes_keep_a_dense_one_of_every_setting() -> None:
    table = made_up_traces()
    few = few_episodes(table, 12, seed=0)
    assert few["episode"].nunique() == 12
    assert set(few[few["controller"] == "dense"]["family"]) == set(table["family"])
    with pytest.raises(InputError, match="5 settings"):
        few_episodes(table, 4, seed=0)


@pytest.mark.parametrize(
    "name",
    ["SAC", "DQN on a grid", "with levers", "cross-entropy", "without cloning", "without domain randomisation"],
)
def test_ablations_learn_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "TrainingPlan", partial(TrainingPlan, lanes=64, evaluate_every=64, episodes=8))
    for module in (training, recipes):
        monkeypatch.setattr(module, "tune_schedules", partial(tune_schedules, episodes=4))
    monkeypatch.setattr(training, "_FINAL_EPISODES", 8)
    monkeypatch.setattr(cloning, "_SHOWN_EPISODES", 64)
    simulator, like = load_simulator(shipped_simulator()), Policy(random_policy())
    recipe = ABLATIONS[name]
    found = recipes.learn_recipe(recipe, simulator, tmp_path / "p", like, steps=64, seed=0)
    policy: Any = found.policy
    assert policy.provenance["algorithm"] == recipe.algorithm
    assert policy.provenance["recipe"]["cloned"] == recipe.cloned
    assert policy.network.squash == {"SAC": "tanh", "DQN on a grid": "grid"}.get(name, "clip")
    assert policy.network.sizes[-1] == {"DQN on a grid": 25, "with levers": 6}.get(name, 2)
    observations = np.random.default_rng(0).uniform(0.0, 1.0, (64, len(OBSERVATION_NAMES))).astype(np.float32)
    # A clone of a schedule acts; random weights hardly do yet.
    assert (np.abs(found.act(observations)[:, :2]).mean() > 0.2) == recipe.cloned
    again = recipes.learn_recipe(recipe, simulator, tmp_path / "p", like, steps=64, seed=0)
    np.testing.assert_array_equal(again.act(observations), found.act(observations))


def test_labels_by_preference_alone_do_not_start_from_what_looks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloning, "_SHOWN_EPISODES", 512)
    simulator, like = load_simulator(shipped_simulator()), Policy(random_policy())
    lanes = lanes_of(simulator, Recipe())
    tuned = tune_schedules(lanes, episodes=16)
    always = replace(tuned.responsive, waiting=np.ones_like(tuned.responsive.waiting))
    openings = np.asarray(lanes(64, 0).reset(), np.float32)
    assert (always.act(openings)[:, 0] <= 1e-6).all()

    def take_start(*_: Any, start: Policy, **__: Any) -> None:
        save_policy(start, tmp_path)

    monkeypatch.setattr(recipes, "train", take_start)
    recipe = ABLATIONS["from labels by preference alone"]
    found = recipes.learn_recipe(
        recipe, simulator, tmp_path, like, steps=64, seed=0, tuned=lambda: replace(tuned, responsive=always)
    )
    wanted = tuned.preferred.act(openings)
    buys = wanted[:, 0] > 0.9
    assert buys.mean() > 0.2
    assert found.act(openings)[buys, 0].mean() > 0.5


@pytest.mark.parametrize("kin", [True, False])
def test_without_kinship_any_familys_law_answers(kin: bool) -> None:
    simulator = load_simulator(shipped_simulator())
    lanes: Any = recipes.lanes_of(simulator, replace(ABLATIONS["own laws for any task"], kin=kin))(512, 0)
    lanes.reset()
    state = lanes.state_dict()["lanes"]
    answering = simulator.ensemble.family[state["_members"]]
    own = answering >= 0.0
    assert abs(own.mean() - (simulator.ensemble.family >= 0.0).mean()) < 0.1
    assert (answering[own] == state["task.family"][own]).all() == kin
    assert set(answering) == set(simulator.ensemble.family)


def test_tables_of_ablations_count_from_the_policy() -> None:
    generator = np.random.default_rng(0)
    families = []
    for name in ("x", "y"):
        whole = generator.normal(0.0, 0.1, (6, len(PREFERENCES), N_OUTCOMES))
        recipes = {POLICY: whole, "without slopes": whole - 0.01}
        families.append(Ablated(name, recipes, {6: {POLICY: whole, "best per preference": whole - 0.02}}))
    policy, ablated = recipe_table(families).splitlines()[2:]
    assert policy.endswith("|  |  |")
    assert ablated.count("-0.0100 [-0.0100, -0.0100]") == 2
    assert "0.0200 [0.0200, 0.0200]" in segment_table(families)


def test_finetuning_goes_on_in_runs_of_the_family(
    judged: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def plan(algorithm: str, steps: int, seed: int) -> TrainingPlan:
        return replace(real_plan(algorithm, steps, seed), lanes=64, episodes=8)

    monkeypatch.setattr(learned, "real_plan", plan)
    monkeypatch.setattr(learned, "tune_schedules", partial(tune_schedules, episodes=4))
    monkeypatch.setattr(training, "_FINAL_EPISODES", 8)
    shutil.copytree(shipped_policy(), tmp_path / "policy")
    prepared = Prepared(tmp_path, "minilm-l6", {})
    options = read_options(["--quick"])
    learners = learned.Learners(load_simulator(shipped_simulator()), prepared, tmp_path / "judged", options, print)
    found: Any = learners.finetuned(judged.simulator).policy
    assert found.network.fingerprint() != learners.base.network.fingerprint()
    assert fingerprint(learners.finetuned(judged.simulator)) == found.network.fingerprint()


def test_levers_start_where_they_are_by_default() -> None:
    network = random_policy()
    observations = np.random.default_rng(0).uniform(0.0, 1.0, (8, len(OBSERVATION_NAMES))).astype(np.float32)
    wider = recipes.with_levers(network)(observations)
    np.testing.assert_array_equal(wider[:, :2], network(observations))
    settings = lever_settings(wider)
    # No augmentation, however strong it would be.
    np.testing.assert_allclose(settings[:, 1:], np.tile([0.0, 0.0, 0.2, 0.0], (8, 1)), atol=1e-6)
