"""The guards between action and session: targets bound the compression, collapses are rolled back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.agents.targets_report import SIZE_MARGIN, SPEEDUP_MARGIN, aimed, check_reach, quiet_notes, targets_report
from sec_rl.envs.action import ACTION_SCALE, LANDING, Limits, levers_from
from sec_rl.envs.drive import Drive, collapsed
from sec_rl.envs.session import OpenedSession
from sec_rl.envs.synergy import SynergyEnv
from sec_rl.envs.targets import compression_goal, misses
from sec_rl.errors import InputError
from sec_rl.values import Levers, Metrics, Preference, Ratios
from tests.test_envs_core import START
from tests.test_episode import FakeSession


@dataclass
class Fragile(FakeSession):
    """Loses everything where compression moves by more than `strength` in one segment."""

    strength: float = 0.15

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        self.before: Metrics = self._metrics(0.0, 0.0) if not self.asked else self.now
        after = super().advance(ratios, levers)
        if ratios.compression - self.before.compression_ratio > self.strength:
            after = replace(after, validation_accuracy=0.5)
        self.now: Metrics = after
        return after

    def rollback(self) -> Metrics:
        self.now = replace(self.before, segment=self.now.segment, labels_bought=self.now.labels_bought)
        return self.now


def opened(session: FakeSession, format_speedup: float = 1.0) -> OpenedSession:
    """Return an opened session."""
    return OpenedSession(session, session.open(), 0.9, format_speedup)


def drive(session: FakeSession, preference: Preference, format_speedup: float = 1.0) -> Drive:
    """Return a drive that starts from all labels and nothing removed."""
    return Drive(
        opened(session, format_speedup),
        preference=preference,
        limits=Limits(),
        levers=Levers(),
        initial=Ratios(1.0, 0.0),
    )


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=16, max_size=16), st.floats(1.0, 15.0))
def test_whatever_the_actions_a_target_is_met_and_not_passed(
    actions: list[tuple[float, float]], target: float
) -> None:
    session = FakeSession(16)
    driven = drive(session, Preference(target_speedup=target), 1.0)
    for action in actions:
        driven.act(np.array(action, np.float32))
    # The session removes in steps of 0.001 of its cost.
    reached = 1.0 / driven.history[-1].latency_ratio
    assert target <= reached * 1.001
    assert 1.0 / reached >= 1.0 / target - 0.0021


def test_a_forced_landing_leaves_time_to_recover() -> None:
    session = FakeSession(16)
    driven = drive(session, Preference(target_speedup=4.0))
    compression = [driven.act(np.array([0.0, -1.0], np.float32)).metrics.compression_ratio for _ in range(16)]
    landed = next(i for i, c in enumerate(compression) if c >= 0.75)
    assert 16 - landed - 1 >= LANDING * 16
    assert compression[landed - 3] < 0.2
    assert max(np.diff(compression)) <= ACTION_SCALE[1] + 0.002


@given(st.lists(st.floats(-1, 1), min_size=16, max_size=16))
def test_nothing_is_removed_where_it_could_not_heal(changes: list[float]) -> None:
    driven = drive(FakeSession(16), Preference())
    compression = [driven.act(np.array([0.0, c], np.float32)).metrics.compression_ratio for c in changes]
    last = int(16 - np.ceil(LANDING * 16))
    assert max(np.diff(compression[last - 1 :])) <= 1e-9
    assert compression[last - 1] == pytest.approx(expected(changes[:last]), abs=0.002 * last)


def expected(changes: list[float]) -> float:
    """Return the ratio that free moves end at."""
    ratio = 0.0
    for change in changes:
        ratio = min(max(ratio + ACTION_SCALE[1] * change, 0.0), Limits().compression_max)
    return ratio


def test_goal_is_the_smallest_ratio_that_meets_every_target() -> None:
    session = opened(FakeSession(), 4.0)
    assert compression_goal(session, Preference(), 0.95) is None
    assert compression_goal(session, Preference(target_speedup=3.0), 0.95) == 0.0
    assert compression_goal(session, Preference(target_speedup=8.0), 0.95) == pytest.approx(0.5, abs=1e-3)
    both = Preference(target_speedup=8.0, target_size_ratio=0.15)
    assert compression_goal(session, both, 0.95) == pytest.approx(0.8, abs=1e-3)
    assert misses(session.session.forecast(0.5), both, 4.0) == pytest.approx({"target_size_ratio": 0.1875})


def test_targets_beyond_reach_are_refused_with_the_closest() -> None:
    session = opened(FakeSession(), 4.0)
    check_reach(session, Preference(target_speedup=79.0), 0.95)
    with pytest.raises(InputError, match=r"speed-up of 100 \(the closest is 80\.0\)"):
        check_reach(session, Preference(target_speedup=100.0), 0.95)
    with pytest.raises(InputError, match=r"size ratio of 0\.1 \(the closest is 0\.131\)"):
        check_reach(session, Preference(target_size_ratio=0.1), 0.95)


def test_collapse_is_rolled_back_counted_and_followed_by_rest_and_smaller_steps() -> None:
    session = Fragile(12)
    driven = drive(session, Preference())
    for _ in range(5):
        driven.act(np.array([0.0, 0.0], np.float32))
    before = driven.history[-1]
    lost = driven.act(np.array([0.0, 1.0], np.float32))
    assert lost.rolled_back
    assert driven.rollbacks == 1
    assert lost.metrics.segment == before.segment + 1
    assert lost.metrics.validation_accuracy == before.validation_accuracy
    assert lost.metrics.compression_ratio == before.compression_ratio
    assert lost.reward == pytest.approx(0.0)
    # Whatever is asked, the model that came back is trained first; also by a run that was interrupted here.
    resumed = drive(session, Preference())
    resumed.restore(driven.state())
    rest = resumed.act(np.array([0.0, 1.0], np.float32))
    assert rest.metrics.compression_ratio == before.compression_ratio
    assert rest.metrics.validation_accuracy > before.validation_accuracy
    again = resumed.act(np.array([0.0, 1.0], np.float32))
    assert not again.rolled_back
    assert again.metrics.compression_ratio == pytest.approx(ACTION_SCALE[1] / 2, abs=1e-3)


def test_what_a_target_leaves_no_time_to_put_off_is_removed_once_and_trained_from_then_on() -> None:
    """Rolled back, it would be removed again in every segment that is left, and none of them would train anything."""
    driven = drive(Fragile(20, strength=0.01), Preference(target_speedup=10.0))
    steps = [driven.act(np.array([0.0, -1.0], np.float32)) for _ in range(20)]
    assert driven.rollbacks == 0
    assert 10.0 <= 1.0 / steps[-1].metrics.latency_ratio < 10.5
    assert steps[-1].metrics.validation_accuracy > 0.5
    # Where nothing is left to recover in, the model that works is kept.
    session = Fragile(8)
    late = drive(session, Preference(target_speedup=10.0))
    late.history[-1] = session.before = session.now = replace(
        late.history[-1], segment=7, data_ratio=1.0, validation_accuracy=0.9
    )
    plan = late.plan(np.array([0.0, -1.0], np.float32))
    assert plan.forced
    assert late.settle(plan, replace(session.now, segment=8, validation_accuracy=0.5)).rolled_back


def test_the_first_segment_is_never_rolled_back() -> None:
    """An untrained model may guess well; what it is trained to first may do worse, and must not stop the run."""
    driven = drive(Fragile(12), Preference())
    driven.history[-1] = replace(driven.history[-1], validation_accuracy=0.9)
    first = driven.act(np.array([0.0, 1.0], np.float32))
    assert first.metrics.validation_accuracy == 0.5
    assert not first.rolled_back
    assert driven.rollbacks == 0


def test_only_a_model_that_has_learned_can_collapse() -> None:
    guess = replace(START, validation_accuracy=0.5)
    assert not collapsed(guess, replace(guess, validation_accuracy=0.0))
    good = replace(START, validation_accuracy=0.9)
    assert not collapsed(good, replace(good, validation_accuracy=0.71))
    assert collapsed(good, replace(good, validation_accuracy=0.69))


def test_wide_actions_set_levers() -> None:
    base = Levers(distillation_weight=0.7)
    assert levers_from(np.zeros(2), base) == base
    none = levers_from(-np.ones(6), base)
    assert (none.augmentation_share, none.pseudo_label_share, none.distillation_weight, none.depth_share) == (0,) * 4
    full = levers_from(np.full(6, 5.0), base)
    assert (full.augmentation_strength, full.pseudo_label_share, full.depth_share) == (0.3, 0.5, 1.0)
    env = SynergyEnv(lambda _: opened(FakeSession()), action_mode="levers")
    env.reset(seed=0)
    assert env.action_space.shape == (6,)
    with pytest.raises(InputError, match="6 finite numbers"):
        env.step(np.zeros(2, np.float32))


def test_report_compares_what_was_measured_with_what_was_asked() -> None:
    wishes = Preference(target_speedup=8.0, target_size_ratio=0.1, max_accuracy_drop=1.0)
    assert aimed(wishes).target_speedup == pytest.approx(8.0 * SPEEDUP_MARGIN)
    assert aimed(wishes).target_size_ratio == pytest.approx(0.1 * SIZE_MARGIN)
    assert aimed(Preference()) == Preference()
    result: dict[str, Any] = {
        "size_bytes": 11.0,
        "latency_quantiles_ms": {
            "artefact": {"batch32": {"p05": 10.0, "p50": 16.0}},
            "dense": {"batch32": {"p05": 90.0, "p50": 100.0}},
        },
        "dense": {"size_bytes": 100.0},
    }
    speed, size, drop = targets_report(wishes, result, accuracy=0.88, reference_accuracy=0.885)
    assert (speed["met"], size["met"], drop["met"]) == (True, False, True)
    assert (speed["reached"], size["reached"]) == pytest.approx((9.0, 0.11))
    assert drop["reached"] == pytest.approx(0.5)
    assert targets_report(Preference(), result, accuracy=0.5, reference_accuracy=None) == []
    # The cores were shared for more than half of the time.
    [note] = quiet_notes(wishes, result)
    assert "9.0 times" in note
    assert "6.2 times by the medians" in note
    result["latency_quantiles_ms"]["artefact"]["batch32"]["p50"] = 11.5
    assert quiet_notes(wishes, result) == quiet_notes(Preference(), result) == []
