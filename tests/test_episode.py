"""The loop, on a session that remembers what it was asked: no training, the same contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sec_rl.agents.controllers import ScheduleController
from sec_rl.agents.episode import run_episode, trajectory_line
from sec_rl.agents.label_limit import LabelLimit
from sec_rl.agents.schedules import Schedule, share_bought
from sec_rl.envs.action import ACTION_SCALE, LANDING, Limits
from sec_rl.envs.drive import INITIAL, Drive, Step
from sec_rl.envs.observation import OBSERVATION_NAMES, read
from sec_rl.envs.session import OpenedSession
from sec_rl.envs.utility import utility
from sec_rl.values import Forecast, Levers, Metrics, Preference, Ratios


@dataclass
class FakeSession:
    """Reaches the ratios it is asked for in whole steps, as labels and heads come whole."""

    n_segments: int = 8
    grain: float = 0.001
    asked: list[Ratios] = field(default_factory=list)

    def open(self) -> Metrics:
        return self._metrics(0.0, 0.0)

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        self.asked.append(ratios)
        data = max(round(ratios.data / self.grain), 1) * self.grain
        compression = min(np.ceil(ratios.compression / self.grain) * self.grain, 0.999)
        return self._metrics(min(data, 1.0), float(compression))

    def rollback(self) -> Metrics:
        raise AssertionError("nothing collapses here")

    def forecast(self, compression: float) -> Forecast:
        return Forecast(0.25 * (1.0 - 0.5 * compression), 1.0 - compression)

    def structure(self) -> dict[str, Any]:
        return {"heads": [12], "ffn": [1536], "dense_heads": 12, "dense_ffn": 1536}

    def _metrics(self, data: float, compression: float) -> Metrics:
        done = len(self.asked)
        accuracy = 0.5 + 0.4 * done / self.n_segments - 0.1 * compression
        return Metrics(
            source="simulated",
            segment=done,
            n_segments=self.n_segments,
            n_classes=2,
            data_ratio=data,
            compression_ratio=compression,
            validation_accuracy=accuracy,
            validation_macro_f1=accuracy,
            validation_loss=1.0 - accuracy,
            labels_bought=round(1000 * data),
            label_fraction=data,
            example_passes=100 * done,
            passes_fraction=done / self.n_segments,
            size_ratio=0.25 * (1.0 - 0.5 * compression),
            latency_ratio=1.0 - compression,
            seconds=0.0,
        )


class Constant:
    """Answers the same action whatever it sees, and remembers what it saw."""

    def __init__(self, *action: float) -> None:
        self.action = np.array(action, np.float32)
        self.seen: list[NDArray[np.float32]] = []

    def reset(self, seed: int) -> None:
        self.seen = []

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(observation)
        return self.action


def drive(
    session: FakeSession,
    controller: Any,
    initial: Ratios,
    preference: Preference | None = None,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
    limits: Limits | None = None,
) -> list[Step]:
    """Run an episode with everything else at its default."""
    driven = Drive(
        OpenedSession(session, session.open(), reference_accuracy=0.9),
        preference=preference or Preference(),
        limits=limits or Limits(),
        levers=Levers(),
        initial=initial,
    )
    return run_episode(driven, controller, seed=seed, on_step=on_step)


@pytest.mark.parametrize("name", ["dense", "fixed", "cubic", "random"])
@pytest.mark.parametrize("n_segments", [8, 16])
def test_schedules_arrive_where_they_should(name: str, n_segments: int) -> None:
    schedule = Schedule(name, 0.6, 0.5, 3, n_segments)
    controller = ScheduleController(schedule)
    session = FakeSession(n_segments)
    drive(session, controller, controller.initial_ratios(), seed=3)
    for segment, asked in enumerate(session.asked):
        wanted = schedule(segment / n_segments)
        # The observation is float32, and the session's ratios are whole steps.
        assert asked.data == pytest.approx(wanted.data, abs=2e-3)
        if n_segments - segment - 1 >= LANDING * n_segments:
            assert asked.compression == pytest.approx(wanted.compression, abs=2e-3)
        else:
            # The environment keeps the end for recovery. A random schedule would go on; the others are there.
            assert asked.compression <= session.asked[segment - 1].compression + 2e-3
            assert name == "random" or asked.compression == pytest.approx(wanted.compression, abs=5e-3)


@given(st.floats(0.06, 1.0), st.integers(4, 24), st.floats(-1.0, 1.0))
def test_a_limit_on_labels_is_all_that_a_controller_knows_of(most: float, n_segments: int, change: float) -> None:
    """It sees and takes of the limit what it would of the pool."""
    whole, limited = FakeSession(n_segments, grain=1e-4), FakeSession(n_segments, grain=1e-4)
    free, held = Constant(change, 0.1), Constant(change, 0.1)
    drive(whole, free, INITIAL)
    limits = Limits(data_min=Limits().data_min * most, data_max=most)
    controller = LabelLimit(held, most)
    drive(limited, controller, controller.initial_ratios(), limits=limits)
    for mine, theirs in zip(limited.asked, whole.asked, strict=True):
        assert mine.data <= most + 2e-3
        assert mine.data / most == pytest.approx(theirs.data, abs=2e-3 / most)
    for name in ("data_ratio", "label_fraction"):
        assert max(read(seen, name) for seen in held.seen) <= 1.0
    if change > 0.0:
        last = [read(each.seen[-1], "data_ratio") for each in (held, free)]
        assert last[0] == pytest.approx(last[1], abs=2e-3 / most)


@given(st.floats(0.06, 0.99), st.integers(4, 24), st.floats(0.05, 1.0))
def test_within_a_limit_the_hasty_buy_as_the_schedules_do(most: float, n_segments: int, first: float) -> None:
    session = FakeSession(n_segments, grain=1e-4)
    controller = LabelLimit(Constant(1.0, 0.1), most, first)
    limits = Limits(data_min=Limits().data_min * most, data_max=most)
    drive(session, controller, controller.initial_ratios(), limits=limits)
    for segment, asked in enumerate(session.asked):
        pace = most * share_bought(segment / n_segments, first)
        # In one segment no more than an action can move.
        reachable = most * (INITIAL.data + (segment + 1) * ACTION_SCALE[0])
        assert asked.data == pytest.approx(min(pace, reachable), abs=2e-3)


def test_an_action_starts_from_what_was_reached() -> None:
    """A session that can only remove fifths is asked for a fifth plus the action, not for twice the action."""
    session = FakeSession(5, grain=0.2)
    drive(session, Constant(0.0, 0.1), Ratios(1.0, 0.0))
    step = 0.1 * ACTION_SCALE[1]
    reached = [0.0, 0.2, 0.4, 0.6]
    # Nothing is removed in the last segment.
    assert [a.compression for a in session.asked[:-1]] == pytest.approx([r + step for r in reached])


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.integers(2, 12))
def test_rewards_add_up_to_the_gain_in_utility(data: float, compression: float, n_segments: int) -> None:
    session = FakeSession(n_segments)
    preference = Preference(max_accuracy_drop=1.0)
    steps = drive(session, Constant(data, compression), Ratios(0.5, 0.2), preference)
    gains = [step.reward for step in steps if step.reward is not None]
    assert len(gains) == n_segments == len(session.asked)
    before, after = (utility(step.metrics, preference, 0.9) for step in (steps[0], steps[-1]))
    assert sum(gains) == pytest.approx(after - before, abs=1e-9)
    for ratios in session.asked:
        assert Limits().data_min <= ratios.data <= 1.0
        assert 0.0 <= ratios.compression <= Limits().compression_max


def test_the_controller_sees_the_segment_before() -> None:
    controller = Constant(0.0, 0.5)
    steps = drive(FakeSession(5), controller, Ratios(1.0, 0.0))
    assert len(controller.seen) == 5
    for index, observation in enumerate(controller.seen):
        assert read(observation, "progress") == pytest.approx(index / 5)
        assert read(observation, "compression_ratio") == pytest.approx(steps[index].metrics.compression_ratio)
        assert steps[index + 1].observation is observation


def test_steps_are_reported_as_they_happen_and_are_json() -> None:
    session, reported = FakeSession(3), []
    steps = drive(
        session, Constant(0.0, 0.1), Ratios(1.0, 0.0), on_step=lambda step: reported.append(len(session.asked))
    )
    assert reported == [0, 1, 2, 3]
    first, *others = (json.loads(json.dumps(trajectory_line(step), allow_nan=False)) for step in steps)
    assert [first[key] for key in ("segment", "observation", "action", "reward", "reward_terms")] == [0] + [None] * 4
    for line in others:
        assert len(line["observation"]) == len(OBSERVATION_NAMES)
        assert line["action"] == pytest.approx([0.0, 0.1])
        assert line["reward"] == pytest.approx(sum(line["reward_terms"].values()))
        assert line["metrics"]["segment"] == line["segment"]
