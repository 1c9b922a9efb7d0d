"""A schedule whose labels follow what a run shows, on a toy that shows after one segment how many it wants."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sec_rl.agents.evaluate import evaluate, play_episodes
from sec_rl.agents.responsive import SHARES, ResponsiveSchedule, _Branch, tune_responsive
from sec_rl.agents.tuning import Tuned, tune_schedules
from sec_rl.envs.drive import INITIAL
from tests.toy_lanes import PLACE, ToyLanes

# Share of the tasks that are easy: fewer than half, so that whoever cannot look yet buys everything.
_EASY = 0.4


class TellingLanes(ToyLanes):
    """The toy, but labels do not follow the preference: easy tasks want what a run begins with.

    The others want all labels. Which a task is shows in the accuracy after the first segment.
    """

    little = INITIAL.data

    def _utility(self) -> NDArray[np.float64]:
        goals = np.stack([np.where(self._easy(), self.little, 1.0), 0.8 * self._wishes[:, 1]], axis=1)
        utility: NDArray[np.float64] = -np.abs(self._ratios - goals).sum(axis=1)
        return utility

    def _observe(self) -> NDArray[np.float32]:
        found = super()._observe()
        found[:, PLACE["label_weight"]] = 0.5
        found[:, PLACE["accuracy_over_chance"]] = np.where(self._segment > 0, self._easy(), 0.5)
        return found

    def _easy(self) -> NDArray[np.bool_]:
        easy: NDArray[np.bool_] = self._wishes[:, 0] < _EASY
        return easy


class FrugalLanes(TellingLanes):
    """Easy tasks want less than half of what a run begins with."""

    little = SHARES[0] / 2.0


@pytest.fixture(scope="module")
def tuned() -> Tuned:
    return tune_schedules(TellingLanes, episodes=512, seed=2)


def _bought(
    schedule: ResponsiveSchedule, seed: int, lanes: type[TellingLanes] = TellingLanes
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the share of the labels that each episode ends with, and which episodes are easy."""
    played = play_episodes(lanes, schedule, episodes=256, seed=seed)
    last = played.alive.sum(axis=0) - 1
    final = played.observations[last, np.arange(len(last)), PLACE["data_ratio"]]
    return final.astype(np.float64), played.observations[1][:, PLACE["accuracy_over_chance"]] > 0.5


def test_labels_follow_what_the_run_shows(tuned: Tuned) -> None:
    """No share suits both: whatever is fixed stays 0.3 away in the mean, and what looks first comes close."""
    fixed, looking = (
        evaluate(TellingLanes, each, episodes=256, seed=7) for each in (tuned.preferred, tuned.responsive)
    )
    assert (looking - fixed).mean() > 0.2
    final, easy = _bought(tuned.responsive, seed=7)
    assert final[easy].mean() < 0.4
    assert final[~easy].mean() > 0.9


def test_it_waits_where_that_pays(tuned: Tuned) -> None:
    """What is bought before anything was seen cannot be given back, so here it looks first."""
    opened = TellingLanes(64, 3).reset()
    assert (tuned.responsive.act(opened)[:, 0] <= 1e-6).mean() > 0.9
    hasty = ResponsiveSchedule(tuned.preferred, tuned.responsive.values, -np.ones_like(tuned.responsive.waiting))
    gap = evaluate(TellingLanes, tuned.responsive, episodes=256, seed=7) - evaluate(
        TellingLanes, hasty, episodes=256, seed=7
    )
    assert gap.mean() > 0.1


def test_it_opens_on_less_than_a_fifth_where_that_pays(tuned: Tuned) -> None:
    frugal = tune_responsive(FrugalLanes, tuned.preferred, episodes=256, seed=2)
    assert (frugal.act(FrugalLanes(64, 3).reset())[:, 0] < 0.0).mean() > 0.9
    final, easy = _bought(frugal, seed=7, lanes=FrugalLanes)
    assert final[easy].mean() < INITIAL.data
    assert final[~easy].mean() > 0.9


def test_it_compresses_as_the_schedule_does_and_gives_no_labels_back(tuned: Tuned) -> None:
    played = play_episodes(TellingLanes, tuned.preferred, episodes=64, seed=9)
    for observations in played.observations[:4]:
        actions = tuned.responsive.act(observations)
        np.testing.assert_array_equal(actions[:, 1], tuned.preferred.act(observations)[:, 1])
        assert (actions[:, 0] >= 0.0).all()


def test_it_is_the_same_again(tuned: Tuned) -> None:
    first, again = (tune_responsive(TellingLanes, tuned.preferred, episodes=64, seed=2) for _ in range(2))
    assert again.values.fingerprint() == first.values.fingerprint()
    np.testing.assert_array_equal(again.waiting, first.waiting)
    assert again.values.sizes[-1] == len(SHARES)


def test_who_branches_off_at_once_opens_as_the_share_says(tuned: Tuned) -> None:
    """Or what shares are worth before the first segment would be that of lanes that look first."""
    lanes = 512
    opened = TellingLanes(lanes, 3).reset()
    ways = [_Branch(tuned.preferred, share) for share in (SHARES[0], 1.0)]
    for way in ways:
        way.begin(lanes, seed=4)
    little, everything = (way.act(opened)[:, 0] for way in ways)
    at_once = ways[0].after == 0
    assert at_once.any()
    assert (little[at_once] < 0.0).all()
    assert (everything[at_once] > 0.0).all()
    np.testing.assert_array_equal(little[~at_once], everything[~at_once])
