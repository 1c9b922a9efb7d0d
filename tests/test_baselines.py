"""Controllers without learning, and how they are compared."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sec_rl.agents.baselines import Greedy, TargetSchedule, baseline, look_ahead_in
from sec_rl.agents.controllers import ScheduleController
from sec_rl.agents.evaluate import Judge, evaluate, paired_difference, play
from sec_rl.agents.preferences import draw_preferences
from sec_rl.agents.preferred import mean_terms
from sec_rl.agents.schedules import Schedule
from sec_rl.agents.tuning import tune_schedules
from sec_rl.envs.action import ACTION_SCALE
from sec_rl.envs.batch import PreferenceBatch
from sec_rl.envs.observation import OBSERVATION_NAMES, WEIGHT_NAMES, encode, encode_wishes
from sec_rl.errors import InputError
from sec_rl.values import Preference
from tests.test_envs_core import START
from tests.toy_lanes import PLACE, ToyLanes, best_returns


def seen(**entries: float) -> NDArray[np.float32]:
    """Return one observation with the entries given and others 0."""
    row = np.zeros((1, len(OBSERVATION_NAMES)), np.float32)
    for name, value in entries.items():
        row[0, PLACE[name]] = value
    return row


@pytest.mark.parametrize("segment", range(16))
def test_without_targets_it_is_the_cubic_schedule(segment: int) -> None:
    ours, theirs = TargetSchedule(0.6, 0.5), ScheduleController(Schedule("cubic", 0.6, 0.5))
    row = seen(progress=segment / 16, segment_share=1 / 16, data_ratio=0.4, compression_ratio=0.3)
    np.testing.assert_allclose(ours.act(row)[0], theirs(row[0]), atol=1e-5)
    np.testing.assert_array_equal(ours(row[0]), ours.act(row)[0])


def test_it_aims_at_what_the_targets_need() -> None:
    """With all of the latency prunable in proportion, four times faster needs three quarters removed."""
    late = {"progress": 0.9, "segment_share": 0.1, "data_ratio": 1.0, "compression_ratio": 0.6}
    wish = {"has_target_speedup": 1.0, "target_speedup": 0.2, "log2_latency": np.log2(0.4) / 10}
    aimed = 0.6 + ACTION_SCALE[1] * TargetSchedule(compression_ratio=0.9).act(seen(**late, **wish))[0, 1]
    assert aimed == pytest.approx(0.75, abs=1e-3)
    ignored = TargetSchedule(compression_ratio=0.7, follows_targets=False).act(seen(**late, **wish))[0, 1]
    assert 0.6 + ACTION_SCALE[1] * ignored == pytest.approx(0.7, abs=1e-3)


def test_it_drives_an_opened_run() -> None:
    schedule = TargetSchedule()
    action = schedule(encode([START], Preference(target_speedup=4.0, target_size_ratio=0.1)))
    assert schedule.initial_ratios().data + ACTION_SCALE[0] * action[0] == pytest.approx(0.7)
    assert action[1] == 0.0  # nothing is pruned before the model has learned something


@pytest.mark.parametrize("bad", [{"data_ratio": 0.0}, {"pruning_start": 0.8}, {"compression_ratio": 1.0}])
def test_settings_that_are_none_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        TargetSchedule(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["dense", "fixed", "cubic", "random", "walk", "target"])
def test_every_baseline_drives_lanes_and_repeats_itself(name: str) -> None:
    first, again = (evaluate(ToyLanes, baseline(name), episodes=16, seed=3) for _ in range(2))
    assert first.shape == (16,)
    np.testing.assert_array_equal(first, again)


def test_an_unknown_baseline_is_named() -> None:
    with pytest.raises(InputError, match="Did you mean 'cubic'"):
        baseline("cubik")


def test_greedy_finds_what_a_step_can_gain() -> None:
    """The toy's utility has no traps, so the greedy search comes within its grid of the best return."""
    env = ToyLanes(64, 5)
    returns = play(env, Greedy(look_ahead_in(env)), 0).returns
    regret = float((best_returns(64, 5) - returns).mean())
    assert 0.0 <= regret < 0.1


def test_episodes_are_the_same_for_every_controller() -> None:
    """The opening observation (task, length, preference) and the number of steps do not depend on what was done."""
    one, other = (play(ToyLanes(32, 9), baseline(name), 0) for name in ("dense", "walk"))
    np.testing.assert_array_equal(one.observations[0], other.observations[0])
    np.testing.assert_array_equal(one.alive, other.alive)
    assert not np.array_equal(one.returns, other.returns)


def test_returns_to_go_count_what_is_still_to_come() -> None:
    played = play(ToyLanes(8, 1), baseline("cubic"), 0)
    np.testing.assert_allclose(played.returns_to_go()[0], played.returns)
    assert (played.rewards[~played.alive] == 0.0).all()


def test_the_grid_finds_the_best_fixed_schedule() -> None:
    tuned = tune_schedules(ToyLanes, episodes=64, seed=2)
    assert tuned.mean_return == pytest.approx(evaluate(ToyLanes, tuned.schedule, episodes=64, seed=2).mean())
    for data, compression in itertools.product((0.3, 1.0), (0.25, 0.9)):
        other = evaluate(ToyLanes, TargetSchedule(data, compression), episodes=64, seed=2).mean()
        assert tuned.mean_return >= other - 1e-9


def test_a_schedule_per_preference_beats_one_for_all() -> None:
    """The toy's goals follow the weights: one schedule for all stays 0.4 away, one per preference comes closer."""
    tuned = tune_schedules(ToyLanes, episodes=512, seed=2)
    found = [
        float((best_returns(256, 7) - evaluate(ToyLanes, each, episodes=256, seed=7)).mean())
        for each in (tuned.schedule, tuned.preferred)
    ]
    assert found[0] > 0.35
    assert found[1] < 0.8 * found[0]


def test_what_labels_are_worth_does_not_drown_in_what_tasks_differ_in() -> None:
    """Accuracy weighs up to sixteen times as much in one episode as in another; labels are told apart all the same.

    Fitted without regard to that, errors are 0.014 below: half of what 0.4 of the labels are worth here.
    """
    few_labels = PreferenceBatch.of([Preference(label_weight=0.07)])
    errors = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        wishes = draw_preferences(np.full(1024, 0.2), generator)
        observations = np.zeros((1024, len(OBSERVATION_NAMES)), np.float32)
        observations[:, -10:] = encode_wishes(wishes)
        accuracy = -0.03 + generator.normal(0.0, 0.05, 1024)
        ahead = wishes.accuracy_weight * accuracy + wishes.size_weight * 0.3 + wishes.label_weight * 0.4
        terms = mean_terms(observations, ahead[None])[0, 0]
        weights = [getattr(few_labels, name)[0] for name in WEIGHT_NAMES]
        errors.append(terms @ [*weights, 1.0] - (-0.03 + 0.01 * 0.3 + 0.07 * 0.4))
    assert np.sqrt(np.mean(np.square(errors))) < 0.008


def test_a_rival_that_is_behind_in_every_episode_is_behind() -> None:
    judge = Judge(ToyLanes, baseline("dense"), episodes=128, seed=1)
    mean, ahead = judge.score(TargetSchedule(0.6, 0.5))
    assert ahead.low <= ahead.mean <= ahead.high
    assert ahead.low > 0.0
    assert mean > 0.0
    same = judge.score(baseline("dense"))[1]
    assert (same.low, same.mean, same.high) == (0.0, 0.0, 0.0)


def test_the_interval_covers_the_truth() -> None:
    """Of 200 samples of 40 normal differences, about 95 % give an interval around their mean."""
    generator = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        found = paired_difference(generator.normal(0.3, 1.0, 40), np.zeros(40), seed=seed)
        hits += found.low <= 0.3 <= found.high
    assert 180 <= hits <= 199


@pytest.mark.parametrize("pair", [(3, 4), (0, 0)])
def test_returns_of_other_episodes_cannot_be_paired(pair: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="cannot be paired"):
        paired_difference(np.zeros(pair[0]), np.zeros(pair[1]))


def test_a_reward_that_is_no_number_is_an_error() -> None:
    def open_lanes(lanes: int, seed: int) -> Any:
        return ToyLanes(lanes, seed, poison=2)

    with pytest.raises(InputError, match="no number"):
        evaluate(open_lanes, baseline("cubic"), episodes=4, seed=0)
