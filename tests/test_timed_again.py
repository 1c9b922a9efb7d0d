"""A run with a speed-up to reach times the machine again before most structures go, and steers by what it finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults.runs import small_run
from sec_rl.agents import latency_scale
from sec_rl.agents import run as running
from sec_rl.agents.targets_report import SPEEDUP_MARGIN
from sec_rl.agents.timed_again import TIMED_AGAIN_AT
from sec_rl.backends.bert import BertSession
from sec_rl.config import TransferConfig
from sec_rl.measurement.latency import LatencySettings, LatencyStats, LatencyTarget, summarise
from sec_rl.measurement.ratio import SAME_QUIET, QuietTimes
from sec_rl.tasks import load_task
from sec_rl.values import Preference


def test_the_goal_follows_a_machine_whose_speed_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first int8 alone seems four times faster; then fp32 has a quiet moment, and in the end int8 has one."""
    asked: list[dict[str, Any]] = []

    def clock(*_: object, **how: Any) -> QuietTimes:
        asked.append(how)
        # Four, two, and three times.
        return (QuietTimes(120.0, 30.0), QuietTimes(60.0, 30.0), QuietTimes(60.0, 20.0))[len(asked) - 1]

    monkeypatch.setattr(running, "scale_latency", clock)
    config = small_run(tmp_path, seed=0).model_copy(
        # With a fitted head a larger structure of so small an encoder goes first: 0.224, more than is allowed below.
        update={
            "preference": Preference(target_speedup=4.0),
            "latency_rounds": 3,
            "transfer": TransferConfig(head="drawn"),
        }
    )
    result = running.run(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "trajectory.jsonl").read_text().splitlines()]
    removed = [line["compression_ratio"] for line in lines]
    assert len(asked) == 3
    assert [how.get("fp32_again", False) for how in asked] == [False, False, True]
    assert [how.get("known") for how in asked] == [None, QuietTimes(120.0, 30.0), QuietTimes(60.0, 30.0)]
    # What the target stood for until then: some hundredths beyond what int8 gives anyway.
    again, last = (round(share * config.n_segments) for share in TIMED_AGAIN_AT)
    assert 0.0 < asked[1]["ratio"] < 0.2
    assert max(removed[: again + 1]) < 0.2
    # By then half as fast as it seemed; what is too much by the last clock comes back.
    assert asked[2]["ratio"] > asked[1]["ratio"]
    assert removed[-1] < removed[last]
    # Structures of so small an encoder are coarse.
    assert 1.0 <= 3.0 / lines[-1]["metrics"]["latency_ratio"] / (4.0 * SPEEDUP_MARGIN) < 1.2
    assert result["seconds"]["timing"] > 0.0


@pytest.mark.parametrize(
    ("fp32_again", "expected"), [(False, QuietTimes(200.0, 30.0)), (True, QuietTimes(120.0, 29.0))]
)
def test_a_slow_moment_for_fp32_is_mended_when_it_is_timed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp32_again: bool, expected: QuietTimes
) -> None:
    asked: list[set[str]] = []
    now = {"fp32": 200.0, "dense": 30.0, "probe": 20.0}

    def clock(targets: Sequence[LatencyTarget], settings: LatencySettings) -> dict[str, dict[int, LatencyStats]]:
        asked.append({target.name for target in targets})
        return {each.name: {32: summarise([[now[each.name]]] * settings.rounds)} for each in targets}

    monkeypatch.setattr(latency_scale, "measure_latencies", clock)
    config = small_run(tmp_path, seed=0)
    session = BertSession(config, load_task(config.task, seed=0))
    session.open()
    how: dict[str, Any] = {"threads": 1, "length": 16, "rounds": 2, "ratio": 0.6}
    known = latency_scale.scale_latency(session, session.source, **how)
    assert known == QuietTimes(200.0, 30.0)
    now |= {"fp32": 120.0, "dense": 29.0}
    found = latency_scale.scale_latency(session, session.source, **how, known=known, fp32_again=fp32_again)
    assert found == expected
    assert asked == [{"fp32", "dense", "probe"}, {"dense", "probe"} | ({"fp32"} if fp32_again else set())]


QUIET = st.floats(1.0, 1e3)
TIMES = st.floats(1.0, 0.99 + SAME_QUIET) | st.floats(1.01 + SAME_QUIET, 3.0)


@given(QUIET, QUIET, TIMES, TIMES)
def test_two_timings_are_averaged_and_a_busy_one_is_left_out(
    fp32: float, int8: float, slower: float, also_slower: float
) -> None:
    """The order does not matter, and what comes out is one timing or lies between both, never some of each."""
    first, second = QuietTimes(fp32, int8), QuietTimes(slower * fp32, also_slower * int8)
    found = first.with_another(second)
    assert found == second.with_another(first)
    if max(slower, also_slower) > 1.0 + SAME_QUIET:
        assert found == first
    else:
        assert found.fp32 == pytest.approx(fp32 * (1.0 + slower) / 2.0)
        assert found.int8 == pytest.approx(int8 * (1.0 + also_slower) / 2.0)
        assert min(first.speedup, second.speedup) * 0.999 < found.speedup
        assert found.speedup < max(first.speedup, second.speedup) * 1.001
