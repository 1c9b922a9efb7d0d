"""Recording episodes: a plan that does not depend on when it stops, files that resume, a table that is whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sec_rl.agents import episode_plan
from sec_rl.agents.collect import EPISODES, PARTS, PLAN, Recorded, collect
from sec_rl.agents.controllers import RandomWalk
from sec_rl.agents.episode_plan import budget_for, plan_episodes
from sec_rl.agents.traces import COLUMNS, check_traces, read_traces, without
from sec_rl.backends.pruning import cost_table
from sec_rl.compression.cost_table import CostTable
from sec_rl.compression.loading import load_dense
from sec_rl.config import PruningConfig
from sec_rl.encoders import resolve_encoder
from sec_rl.envs.action import Limits, apply_action
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.errors import InputError
from sec_rl.tasks import load_task
from sec_rl.values import Ratios


def test_a_longer_plan_begins_with_the_shorter_one() -> None:
    tasks = ["sms-spam", "some/where/sst2", "questions"]
    short, long = plan_episodes(tasks, 24, 3), plan_episodes(tasks, 96, 3)
    assert long[:24] == short
    assert len({spec.name for spec in long}) == 96
    for settings in ((spec.task, spec.pool_size) for spec in long):
        kinds = [spec.kind for spec in long if (spec.task, spec.pool_size) == settings]
        assert kinds.count("dense") == 2
        assert set(kinds) == {"dense", "walk", "cubic", "fixed"}
    assert {spec.family for spec in long} == {"sms-spam", "movie-reviews", "questions"}
    assert any(spec.kind == "policy" for spec in plan_episodes(tasks, 96, 3, with_policy=True))


def test_a_plan_of_more_tasks_holds_that_of_fewer() -> None:
    few, more = plan_episodes(["sms-spam"], 16, 3), plan_episodes(["questions", "tweets", "sms-spam"], 48, 3)
    assert [spec for spec in more if spec.task == "sms-spam"] == few
    drawn = {(spec.seed, spec.n_segments) for spec in more}
    assert len(drawn) == 48


def test_plans_of_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        plan_episodes([], 5, 0)
    with pytest.raises(InputError, match="named alike"):
        plan_episodes(["a/sst2", "b/sst2"], 5, 0)


def test_walks_differ_by_seed_and_repeat_for_one() -> None:
    def walk(seed: int) -> np.ndarray:
        walker = RandomWalk()
        walker.reset(seed)
        return np.array([walker(np.zeros(24, np.float32)) for _ in range(400)])

    assert np.array_equal(walk(1), walk(1))
    assert not np.array_equal(walk(1), walk(2))
    assert np.abs(walk(1)).max() <= 1.0
    ends = [walk(seed)[:, 1].sum() for seed in range(20)]
    assert min(ends) < 0 < max(ends)


@pytest.mark.parametrize("seed", range(8))
def test_walks_stop_before_nothing_is_left(seed: int) -> None:
    walker, ratios = RandomWalk(), Ratios(0.5, 0.0)
    walker.reset(seed)
    observation = np.zeros(len(OBSERVATION_NAMES), np.float32)
    for _ in range(100):
        observation[OBSERVATION_NAMES.index("compression_ratio")] = ratios.compression
        ratios = apply_action(ratios, walker(observation), Limits())
        assert ratios.compression <= 0.9 + 1e-6


def test_a_walk_around_a_controller_stays_near_it() -> None:
    class Constant:
        def reset(self, seed: int) -> None:
            self.seed = seed

        def __call__(self, observation: np.ndarray) -> np.ndarray:
            return np.array([0.2, -0.1], np.float32)

    middle = Constant()
    walker = RandomWalk(spread=0.1, around=middle)
    walker.reset(5)
    actions = np.array([walker(np.zeros(24, np.float32)) for _ in range(400)])
    assert middle.seed == 5
    assert np.allclose(actions.mean(axis=0), [0.2, -0.1], atol=0.03)
    assert np.allclose(actions.std(axis=0), 0.125, atol=0.03)


def test_more_classes_take_more_passes() -> None:
    assert [budget_for(2400, n) for n in (2, 16, 128)] == [2400, 4800, 7200]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make episodes of a few seconds."""
    monkeypatch.setattr(episode_plan, "SETTINGS", ((64, 96), (96, 128)))
    monkeypatch.setattr(episode_plan, "SEGMENTS", (2, 3))

    def by_flops(encoder: str) -> CostTable:
        model, _ = load_dense(resolve_encoder(encoder), ("no", "yes"), 0)
        return cost_table(model, PruningConfig(cost="flops"), 1, length=32)

    # Timing every block takes longer than the episodes.
    monkeypatch.setattr("sec_rl.agents.collect.time_table", by_flops)


def few_of(name: str, folder: Path) -> str:
    """Write the first rows of a packaged task as one of the same name: scoring all takes longer than the episodes."""
    task = load_task(name)
    (folder / name).mkdir(parents=True)
    for split, rows in (("train", 128), ("validation", 96), ("test", 96)):
        own = getattr(task, split)
        labels = [task.label_names[label] for label in own.labels[:rows]]
        frame = pd.DataFrame({"text": own.texts[:rows], "label": labels})
        frame.to_csv(folder / name / f"{split}.csv", index=False)
    return str(folder / name)


@pytest.mark.usefixtures("tiny")
def test_collection_is_whole_resumes_and_refuses_another_plan(tmp_path: Path) -> None:
    seen: list[Recorded] = []
    out = tmp_path / "traces"
    spam = few_of("sms-spam", tmp_path / "tasks")
    table = collect([spam], 3, out, on_episode=seen.append)
    assert [each.done for each in seen] == [1, 2, 3]
    assert tuple(table.columns) == COLUMNS
    assert set(table["controller"]) == {"dense", "walk"}
    pd.testing.assert_frame_equal(table, read_traces(out))
    ends = table.groupby("episode").last()
    assert (ends["segment"] == ends["n_segments"]).all()
    assert ends["passes_fraction"].tolist() == [1.0] * 3
    opened = table[table["segment"] == 0]
    assert opened["action_data"].isna().all()
    assert table[table["segment"] > 0]["target_compression"].notna().all()

    parts = sorted((out / PARTS).iterdir())
    kept = {part: part.stat().st_mtime_ns for part in parts[1:]}
    parts[0].unlink()
    (out / EPISODES).unlink()
    seen.clear()
    again = collect([spam], 3, out, on_episode=seen.append)
    assert [each.done for each in seen] == [3]
    assert {part: part.stat().st_mtime_ns for part in kept} == kept
    # Times differ; what was learned does not.
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), table.drop(columns="seconds"))
    with pytest.raises(InputError, match="seed 0; this one has 1"):
        collect([spam], 3, out, seed=1)
    # Another task may join; its first episode lies there already.
    first = plan_episodes(["tweets"], 1, 0)[0].name
    rows = table[table["controller"] == "dense"].assign(episode=first, task="tweets", family="tweets")
    rows.to_parquet(out / PARTS / f"{first}.parquet", index=False)
    grown = collect(["tweets"], 1, out)
    assert set(grown["task"]) == {"sms-spam", "tweets"}
    assert json.loads((out / PLAN).read_text(encoding="utf-8"))["tasks"] == ["sms-spam", "tweets"]
    assert len(without(table, ["sms-spam"])) == 0


def test_broken_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recorded episodes"):
        read_traces(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match=r"x\.parquet.*cannot be read"):
        read_traces(tmp_path)
    row = dict.fromkeys(COLUMNS, 0) | {"episode": "e", "n_segments": 1}
    gap = pd.DataFrame([row | {"segment": 1}])
    with pytest.raises(InputError, match="'e' in 'table' is not complete"):
        check_traces(gap, "table")
    with pytest.raises(InputError, match="lacks the column 'segment'"):
        check_traces(gap.drop(columns="segment"), "table")
