"""Every learner must learn what is provably learnable: the toy of the real layout, whose best return is known."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.evaluate import evaluate, play
from sec_rl.agents.lanes import LaneController
from sec_rl.agents.learners.algorithms import ALGORITHMS, algorithm_named, settings_of
from sec_rl.agents.learners.cloning import Demonstrations, clone, demonstrate
from sec_rl.agents.learners.paired import LearningDivergedError, PairedLanes
from sec_rl.agents.learners.ppo import PpoLearner, PpoSettings
from sec_rl.agents.learners.seam import Lesson
from sec_rl.agents.learners.whole_episodes import WholeEpisodes
from sec_rl.agents.network import Network, Squash
from sec_rl.agents.policy import Policy
from sec_rl.agents.tuning import tune_schedules
from sec_rl.envs.synergy import SynergyEnv
from sec_rl.errors import InputError
from tests.test_drive import opened
from tests.test_episode import FakeSession
from tests.test_policy import observations
from tests.toy_lanes import ToyLanes, best_returns

LANES = 256
# What a clone of the best fixed schedule lacks to the best return is 0.4; nothing that cannot read the wishes
# gets far below.
CLONED = 0.35


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def schedule() -> TargetSchedule:
    """Return the best fixed schedule."""
    return tune_schedules(ToyLanes, episodes=64).schedule


def paired(lanes: int, seed: int) -> PairedLanes:
    """Return lanes whose rewards count from what the best fixed schedule earns."""
    return PairedLanes(ToyLanes(lanes, seed), ToyLanes(lanes, seed), schedule())


@functools.cache
def demonstrations() -> Demonstrations:
    """Return what the best fixed schedule does."""
    return demonstrate(paired(LANES, 0), schedule(), rounds=4, seed=0)


@functools.cache
def plain_demonstrations() -> Demonstrations:
    """Return the same with rewards as they come."""
    return demonstrate(ToyLanes(LANES, 0), schedule(), rounds=4, seed=0)


@functools.cache
def cloned(squash: Squash) -> Network:
    """Return the clone of the best fixed schedule."""
    return clone(demonstrations(), squash=squash, seed=0)


def lesson(name: str, total: int = 400_000, poison: int | None = None) -> Lesson:
    """Return an algorithm's lesson of the toy."""
    algorithm = algorithm_named(name)
    env = paired(LANES, 1) if algorithm.paired and poison is None else ToyLanes(LANES, 1, poison)
    shown = demonstrations() if algorithm.paired else plain_demonstrations()
    return Lesson(env, cloned(algorithm.squash), shown, total, 0, Logger(None, []))


def regret(controller: LaneController) -> float:
    """Return what a controller lacks to the best return."""
    return float((best_returns(256, 7) - evaluate(ToyLanes, controller, episodes=256, seed=7)).mean())


@pytest.mark.parametrize("squash", ["clip", "tanh"])
def test_a_clone_acts_like_what_it_was_cloned_from(squash: Squash) -> None:
    network, shown = cloned(squash), demonstrations()
    error = np.abs(network(shown.observations) - shown.actions).mean()
    assert error < 0.05
    assert regret(Policy(network)) > CLONED


def test_a_grid_clone_takes_the_nearest_action() -> None:
    network, shown = cloned("grid"), plain_demonstrations()
    answered = network(shown.observations)
    assert set(np.unique(answered)) <= {-1.0, -0.5, 0.0, 0.5, 1.0}
    # The nearest is half a step off at most, 0.25; between two of them the fit decides.
    assert (np.abs(answered - np.clip(shown.actions, -1.0, 1.0)).max(axis=1) < 0.4).mean() > 0.9
    with pytest.raises(InputError, match="the grid has 25"):
        Network(network.mean, network.scale, cloned("clip").weights, cloned("clip").biases, "grid")


def test_an_untrained_network_is_worse_than_the_clone() -> None:
    network = cloned("clip")
    generator = np.random.default_rng(0)
    weights = tuple((0.1 * generator.standard_normal(w.shape)).astype(np.float32) for w in network.weights)
    untrained = Network(network.mean, network.scale, weights, network.biases)
    assert regret(Policy(untrained)) > CLONED


@pytest.mark.parametrize(
    ("name", "steps", "settings", "threshold"),
    [
        ("ppo", 250_000, {"log_std": -1.0, "rate": 1e-3}, 0.15),
        ("sac", 40_000, {"warm_up": 6000}, 0.3),
        ("dqn", 100_000, {}, 0.3),
        ("cross-entropy", 800_000, {"episodes": 4}, 0.25),
    ],
)
def test_it_learns_what_can_be_learned(name: str, steps: int, settings: dict[str, Any], threshold: float) -> None:
    algorithm = algorithm_named(name)
    learner = algorithm.build(lesson(name, steps), settings_of(algorithm, settings))
    learner.learn(steps)
    assert steps <= learner.steps <= 1.1 * steps
    assert regret(Policy(learner.network())) < threshold


def test_the_portable_policy_answers_like_the_actor() -> None:
    learner = PpoLearner(lesson("ppo"), PpoSettings(warm_up=10))
    learner.learn(20_000)
    theirs, _ = learner._model.predict(observations(512), deterministic=True)
    np.testing.assert_allclose(Policy(learner.network()).act(observations(512)), theirs, atol=1e-6)


def test_the_value_network_is_warm_before_the_actor_moves() -> None:
    learner, shown = PpoLearner(lesson("ppo"), PpoSettings()), demonstrations()
    wanted = shown.scaled_to_go()
    with torch.no_grad():
        values = learner._model.policy.predict_values(torch.from_numpy(shown.observations)).numpy().ravel()
    assert np.mean((values - wanted) ** 2) < 0.8 * wanted.var()
    start = Policy(cloned("clip"))
    np.testing.assert_array_equal(Policy(learner.network()).act(observations(64)), start.act(observations(64)))


def test_what_the_reference_earns_counts_nothing() -> None:
    played = play(paired(64, 3), schedule(), 0)
    np.testing.assert_array_equal(played.rewards, 0.0)
    dense = TargetSchedule(compression_ratio=0.0)
    gained = [evaluate(ToyLanes, each, episodes=64, seed=3) for each in (dense, schedule())]
    np.testing.assert_allclose(play(paired(64, 3), dense, 0).returns, gained[0] - gained[1], atol=1e-6)


def test_lanes_of_different_episodes_cannot_be_paired() -> None:
    with pytest.raises(InputError, match="same seed"):
        PairedLanes(ToyLanes(8, 0), ToyLanes(8, 1), schedule()).reset()


def test_leaving_the_reference_costs_its_distance() -> None:
    lanes = PairedLanes(ToyLanes(8, 0), ToyLanes(8, 0), schedule(), anchor=0.5)
    free = paired(8, 0)
    seen = lanes.reset()
    free.reset()
    for distance in (0.0, 0.4):
        usual = schedule().act(np.array(seen, np.float32))
        taken = np.clip(usual + distance, -1.0, 1.0).astype(np.float32)
        seen, charged, _, _ = lanes.step(taken)
        _, earned, _, _ = free.step(taken)
        np.testing.assert_allclose(earned - charged, 0.5 * ((taken - usual) ** 2).mean(axis=1), atol=1e-6)
    assert (earned > charged).any()


def test_episodes_that_have_not_ended_move_nothing() -> None:
    """Three steps of two lanes; the first one's episode ends with step 1, the second one's does not.

    The two steps that count gain 1.75 and 0.75: standardised they are 1 and -1, whatever the others are.
    """
    spaces = ToyLanes(2, 0).observation_space, ToyLanes(2, 0).action_space
    buffer = WholeEpisodes(3, *spaces, device="cpu", gae_lambda=1.0, gamma=1.0, n_envs=2)
    for starts in ([1.0, 1.0], [0.0, 0.0], [1.0, 0.0]):
        zeros = np.zeros((2, 24), np.float32), np.zeros((2, 2), np.float32)
        buffer.add(*zeros, np.ones(2), np.array(starts), torch.full((2,), 0.25), torch.zeros(2))
    buffer.compute_returns_and_advantage(torch.full((2,), 9.0), np.zeros(2))
    np.testing.assert_allclose(buffer.returns, [[2.0, 0.25], [1.0, 0.25], [0.25, 0.25]])
    np.testing.assert_allclose(buffer.advantages, [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("name", ["ppo", "cross-entropy"])
def test_learning_goes_on_from_its_state_bit_for_bit(name: str) -> None:
    algorithm = algorithm_named(name)
    settings = settings_of(algorithm, {"warm_up": 10} if name == "ppo" else {})
    one, other = lesson(name), lesson(name)
    straight = algorithm.build(one, settings)
    straight.learn(20_000)
    learned, lanes = straight.state_dict(), one.env.state_dict()  # type: ignore[attr-defined]
    straight.learn(20_000)
    resumed = algorithm.build(other, settings)
    other.env.load_state_dict(lanes)  # type: ignore[attr-defined]
    resumed.load_state_dict(learned)
    resumed.learn(20_000)
    assert resumed.steps == straight.steps
    for ours, theirs in zip(resumed.network().weights, straight.network().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["sac", "dqn"])
def test_replay_buffers_are_not_saved(name: str) -> None:
    algorithm = ALGORITHMS[name]
    learner = algorithm.build(lesson(name), settings_of(algorithm, {"buffer": 1000}))
    with pytest.raises(InputError, match="replay buffer"):
        learner.state_dict()


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_a_reward_that_is_no_number_stops_learning(name: str) -> None:
    algorithm = algorithm_named(name)
    learner = algorithm.build(lesson(name, poison=5), settings_of(algorithm, {}))
    with pytest.raises(LearningDivergedError, match="no number"):
        learner.learn(20_000)
    learner.network()


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_weights_that_are_no_numbers_stop_learning(name: str) -> None:
    algorithm = algorithm_named(name)
    learner: Any = algorithm.build(lesson(name), settings_of(algorithm, {}))
    with torch.no_grad():
        next(learner._model.policy.parameters()).fill_(torch.nan)
        if name != "ppo":
            next(iter(learner._layers)).weight.fill_(torch.nan)
    with pytest.raises(LearningDivergedError, match="no number"):
        learner.learn(20_000)


def test_ppo_learns_in_real_environments_too() -> None:
    """A few lanes of the Gymnasium environment, as real training gives them."""

    def make() -> gymnasium.Env[Any, Any]:
        return SynergyEnv(lambda seed: opened(FakeSession(8)))

    start = cloned("clip")
    real = Lesson(DummyVecEnv([make, make]), start, demonstrations(), 64, 0, Logger(None, []))
    learner = PpoLearner(real, PpoSettings(n_steps=16, n_minibatches=1, warm_up=10))
    learner.learn(64)
    assert learner.steps == 64
    assert not np.array_equal(learner.network().weights[0], start.weights[0])


def test_names_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'ppo'"):
        algorithm_named("pp0")
    with pytest.raises(InputError, match="Did you mean 'n_epochs'"):
        settings_of(ALGORITHMS["ppo"], {"n_epoch": 3})
    few = Lesson(ToyLanes(16, 0), cloned("clip"), demonstrations(), 100, 0, Logger(None, []))
    with pytest.raises(InputError, match="lanes for at least four candidates"):
        ALGORITHMS["cross-entropy"].build(few, settings_of(ALGORITHMS["cross-entropy"], {}))
