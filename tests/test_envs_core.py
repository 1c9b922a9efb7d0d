"""The environment's core: observations stay finite and in range, actions bounded, rewards add up."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.envs import observation
from sec_rl.envs.action import ACTION_SCALE, Limits, action_towards, apply_action, bounded_actions
from sec_rl.envs.observation import LOW_HIGH, OBSERVATION_NAMES, encode, read
from sec_rl.envs.utility import reward_terms, utility, utility_terms
from sec_rl.errors import InputError
from sec_rl.values import Metrics, Preference, Ratios

START = Metrics(
    source="simulated",
    segment=0,
    n_segments=16,
    n_classes=2,
    data_ratio=0.0,
    compression_ratio=0.0,
    validation_accuracy=0.5,
    validation_macro_f1=0.4,
    validation_loss=math.log(2),
    labels_bought=0,
    label_fraction=0.0,
    example_passes=0,
    passes_fraction=0.0,
    size_ratio=0.25,
    latency_ratio=1.0,
    seconds=0.0,
)
TARGETS = Preference(target_speedup=4.0, target_size_ratio=0.125, max_accuracy_drop=1.0)
any_float = st.floats(allow_nan=True, allow_infinity=True)
unit = st.floats(0.0, 1.0)


@st.composite
def any_metrics(draw: st.DrawFn, number: st.SearchStrategy[float] = any_float) -> Metrics:
    """Draw metrics whose measured numbers are anything at all."""
    n_segments = draw(st.integers(1, 200))
    return replace(
        START,
        n_segments=n_segments,
        segment=draw(st.integers(0, n_segments)),
        n_classes=draw(st.integers(2, 150)),
        data_ratio=draw(unit),
        compression_ratio=draw(st.floats(0.0, 0.99)),
        validation_accuracy=draw(number),
        validation_loss=draw(number),
        label_fraction=draw(number),
        passes_fraction=draw(number),
        size_ratio=draw(number),
        latency_ratio=draw(number),
    )


@st.composite
def any_preference(draw: st.DrawFn) -> Preference:
    """Draw a valid preference."""
    weight = st.floats(0.0, 1e6)
    return Preference(
        draw(weight),
        draw(weight),
        draw(weight),
        draw(weight),
        draw(st.none() | st.floats(1.0, 1000.0)),
        draw(st.none() | st.floats(1e-3, 1.0)),
        draw(st.none() | st.floats(0.0, 100.0)),
    )


def test_docstring_is_the_layout() -> None:
    table = (observation.__doc__ or "").split("\n===")[2]
    assert tuple(line.split()[0] for line in table.splitlines()[1:] if line.strip()) == OBSERVATION_NAMES


@given(st.lists(any_metrics(), min_size=1, max_size=5), any_preference(), st.floats(0.01, 100.0))
def test_observation_is_finite_and_in_range(history: list[Metrics], wishes: Preference, gain: float) -> None:
    found = encode(history, wishes, format_speedup=gain)
    assert found.dtype == np.float32
    assert found.shape == (len(OBSERVATION_NAMES),)
    assert np.isfinite(found).all()
    low, high = np.array(list(LOW_HIGH.values()), np.float32).T
    assert (low <= found).all()
    assert (found <= high).all()


@given(any_metrics())
def test_a_diverged_run_looks_worse_than_a_guess(metrics: Metrics) -> None:
    broken = replace(metrics, validation_accuracy=math.nan, validation_loss=math.nan)
    guess = replace(metrics, validation_accuracy=1 / metrics.n_classes, validation_loss=math.log(metrics.n_classes))
    bad, plain = encode([broken], Preference()), encode([guess], Preference())
    assert read(bad, "loss") > read(plain, "loss") == pytest.approx(0.5)
    assert read(bad, "accuracy_over_chance") < read(plain, "accuracy_over_chance") == pytest.approx(0.0, abs=1e-6)


@given(st.integers(1, 200), st.data(), st.floats(0.01, 1.0), st.floats(0.0, 0.95))
def test_progress_and_ratios_can_be_read_back(n: int, data: st.DataObject, d: float, c: float) -> None:
    segment = data.draw(st.integers(0, n))
    found = encode([replace(START, segment=segment, n_segments=n, data_ratio=d, compression_ratio=c)], Preference())
    assert round(1 / read(found, "segment_share")) == n
    assert round(read(found, "progress") * n) == segment
    assert read(found, "data_ratio") == pytest.approx(d, abs=1e-7)
    assert read(found, "compression_ratio") == pytest.approx(c, abs=1e-7)


def test_history_entries_follow_their_definition() -> None:
    accuracies = [0.5, 0.7, 0.85, 0.9, 0.88]
    history = [replace(START, segment=i, validation_accuracy=a) for i, a in enumerate(accuracies)]
    found = encode(history, Preference())
    assert read(found, "accuracy_over_chance") == pytest.approx(0.76)
    assert read(found, "accuracy_since_first") == pytest.approx(0.18)
    assert read(found, "accuracy_below_best") == pytest.approx(-0.2)
    assert read(found, "accuracy_slope") == pytest.approx(0.6)
    assert read(found, "size_weight") == pytest.approx(0.5)


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_targets_are_met_where_entries_cancel(ratio: float, target: float) -> None:
    found = encode([replace(START, size_ratio=ratio)], Preference(target_size_ratio=target))
    gap = read(found, "log2_size") + read(found, "target_size_ratio")
    assert gap == pytest.approx((math.log2(ratio) - math.log2(target)) / 10, abs=1e-6)


def test_what_the_format_gives_is_not_asked_of_pruning() -> None:
    free = encode([START], TARGETS, format_speedup=4.0)
    assert read(free, "has_target_speedup") == 1.0
    assert read(free, "target_speedup") == 0.0
    assert read(encode([START], TARGETS), "target_speedup") == pytest.approx(0.2)


def test_unknown_entries_layouts_and_empty_histories_are_named() -> None:
    found = encode([START], Preference())
    with pytest.raises(InputError, match="Did you mean 'progress'"):
        read(found, "progres")
    with pytest.raises(InputError, match=r"\(3,\)"):
        read(np.zeros(3, np.float32), "progress")
    with pytest.raises(InputError, match="empty"):
        encode([], Preference())


ratios = st.builds(Ratios, st.floats(0.05, 1.0), st.floats(0.0, 0.9))
actions = st.lists(st.floats(-10.0, 10.0), min_size=2, max_size=2).map(np.array)
limits = st.builds(Limits, st.floats(0.01, 0.5), st.floats(0.5, 1.0), st.floats(0.0, 0.95))


@given(ratios, actions, limits)
def test_actions_stay_within_limits_and_scale(now: Ratios, action: np.ndarray[Any, Any], bounds: Limits) -> None:
    after = apply_action(now, action, bounds)
    assert bounds.data_min <= after.data <= bounds.data_max
    assert 0.0 <= after.compression <= bounds.compression_max
    if bounds.clip(now) == now:
        assert abs(after.data - now.data) <= ACTION_SCALE[0] + 1e-9
        assert abs(after.compression - now.compression) <= ACTION_SCALE[1] + 1e-9


@given(actions)
def test_data_and_weights_do_not_shrink_hard_together(action: np.ndarray[Any, Any]) -> None:
    data, compression = bounded_actions(action[None])[0].tolist()
    clipped = np.clip(action, -1.0, 1.0)
    if clipped[0] < 0.0 < clipped[1]:
        assert compression - data <= 1.0 + 1e-9
        assert data * clipped[1] == pytest.approx(compression * clipped[0])
    else:
        assert [data, compression] == clipped.tolist()


@given(ratios, ratios)
def test_repeated_actions_arrive_and_stay(now: Ratios, target: Ratios) -> None:
    bounds = Limits()
    for _ in range(8):
        now = apply_action(now, action_towards(now, target), bounds)
    assert now.data == pytest.approx(target.data, abs=1e-6)
    assert now.compression == pytest.approx(target.compression, abs=1e-6)


@pytest.mark.parametrize("action", [[math.nan, 0.0], [math.inf, 0.0], [0.0], [0.0, 0.0, 0.0]])
def test_actions_that_are_no_actions_are_refused(action: list[float]) -> None:
    with pytest.raises(InputError, match="two finite numbers"):
        apply_action(Ratios(1.0, 0.0), np.array(action), Limits())


@pytest.mark.parametrize("bounds", [(0.0, 1.0, 0.5), (0.6, 0.5, 0.5), (0.1, 1.1, 0.5), (0.1, 1.0, 1.0)])
def test_limits_are_checked(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="must"):
        Limits(*bounds)


@given(st.lists(any_metrics(), min_size=2, max_size=8), any_preference(), unit)
def test_rewards_are_finite_and_add_up_to_the_final_utility(
    run: list[Metrics], wishes: Preference, reference: float
) -> None:
    total = 0.0
    for before, after in itertools.pairwise(run):
        terms = reward_terms(before, after, wishes, reference)
        assert all(math.isfinite(value) for value in terms.values())
        total += sum(terms.values())
    gain = utility(run[-1], wishes, reference) - utility(run[0], wishes, reference)
    assert total == pytest.approx(gain, rel=1e-6, abs=1e-6 * (1.0 + wishes.accuracy_weight + wishes.size_weight))


def test_terms_have_the_units_of_the_preference() -> None:
    dense = replace(START, validation_accuracy=0.9, size_ratio=1.0, label_fraction=1.0)
    plain = utility_terms(dense, Preference(), 0.9)
    assert set(plain.values()) == {0.0}
    assert utility(replace(dense, validation_accuracy=0.89), Preference(), 0.9) == pytest.approx(-0.01)
    assert utility(replace(dense, size_ratio=0.25), Preference(size_weight=0.03), 0.9) == pytest.approx(0.06)
    assert utility(replace(dense, latency_ratio=0.5), Preference(latency_weight=0.02), 0.9) == pytest.approx(0.02)
    assert utility(replace(dense, label_fraction=0.3), Preference(label_weight=0.05), 0.9) == pytest.approx(0.035)


def test_penalties_shrink_towards_their_targets_and_vanish_there() -> None:
    def penalty(**changes: float) -> float:
        good = replace(START, validation_accuracy=0.895, size_ratio=0.12, latency_ratio=0.24)
        terms = utility_terms(replace(good, **changes), TARGETS, 0.9)  # type: ignore[arg-type]
        return sum(value for name, value in terms.items() if name.startswith("missed"))

    assert penalty() == 0.0
    for name, values in {
        "validation_accuracy": (0.85, 0.88, 0.889),
        "size_ratio": (1.0, 0.25, 0.13),
        "latency_ratio": (1.0, 0.5, 0.26),
    }.items():
        far, near, close = (penalty(**{name: value}) for value in values)
        assert far < near < close < 0.0
    assert penalty(latency_ratio=0.5) == pytest.approx(-0.2)


def test_a_met_target_is_worth_more_than_the_accuracy_that_pays_for_it() -> None:
    slow = replace(START, validation_accuracy=0.9, latency_ratio=0.5, size_ratio=0.12)
    fast = replace(slow, validation_accuracy=0.891, latency_ratio=0.25)
    assert utility(fast, TARGETS, 0.9) > utility(slow, TARGETS, 0.9)
    ruined = replace(fast, validation_accuracy=0.8)
    assert utility(slow, TARGETS, 0.9) > utility(ruined, TARGETS, 0.9)


@pytest.mark.parametrize("reference", [-0.1, 1.1, math.nan])
def test_reference_must_be_an_accuracy(reference: float) -> None:
    with pytest.raises(InputError, match="reference accuracy"):
        utility(START, Preference(), reference)
