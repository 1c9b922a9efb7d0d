"""The simulator: fitted to one set of tasks it predicts another; equal seeds are equal runs; both faces agree."""

from __future__ import annotations

import json
import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check

import sec_rl  # noqa: F401  it registers the environment
from sec_rl.agents.calibrate import OWN_MEMBERS, QUICK_MEMBERS, calibrate
from sec_rl.agents.recorded_tasks import recorded_tasks
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.trace_batch import trace_batch
from sec_rl.backends.simulator.dynamics import COMMON
from sec_rl.backends.simulator.lanes import Opening, draw_opening
from sec_rl.backends.simulator.model import DESCRIPTION, WEIGHTS, Simulator, load_simulator
from sec_rl.backends.simulator.session import SimulatedSession
from sec_rl.backends.simulator.tasks import TaskBatch, draw_tasks
from sec_rl.envs import drive as driving
from sec_rl.envs.action import Limits
from sec_rl.envs.batch import PreferenceBatch
from sec_rl.envs.drive import Drive
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.envs.session import OpenedSession
from sec_rl.errors import InputError, RunFolderError
from sec_rl.values import Levers, Preference, Ratios
from tests.made_up_traces import FAMILIES, made_up_traces, write_traces


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a simulator fitted to made-up episodes."""
    root = tmp_path_factory.mktemp("simulator")
    calibrate(write_traces(root / "traces", made_up_traces()), root / "sim", quick=True)
    return root / "sim"


@pytest.fixture(scope="module")
def simulator(folder: Path) -> Simulator:
    """Return it."""
    return load_simulator(folder)


def test_left_out_tasks_are_predicted(tmp_path: Path) -> None:
    table = made_up_traces(16)
    said: list[str] = []
    report = calibrate(write_traces(tmp_path / "traces", table), tmp_path / "sim", on_progress=said.append)
    assert set(report["left_out"]) == {name for name, _, _ in FAMILIES}
    assert len(said) == len(FAMILIES) + 1
    finals = table.drop_duplicates("episode").groupby("family")["final_accuracy"]
    without_a_model = 100 * float((finals.apply(lambda x: (x - x.mean()).abs().mean())).mean())
    assert without_a_model > 8.0
    assert report["overall"]["final_error_points"] < 3.5
    assert report["overall"]["rank_correlation"] > 0.8
    assert report["cost_error"]["latency_ratio"] < 0.005
    assert report["cost_error"]["size_ratio"] < 0.001
    for scores in report["left_out"].values():
        assert scores["coverage"]["0.95"] >= scores["coverage"]["0.5"]
    with pytest.raises(RunFolderError, match="not empty"):
        calibrate(tmp_path / "traces", tmp_path / "sim", quick=True)


def test_a_family_can_be_left_out_of_everything(tmp_path: Path) -> None:
    traces = write_traces(tmp_path / "traces", made_up_traces(4))
    report = calibrate(traces, tmp_path / "sim", leave_out=["a", "b"], quick=True)
    assert report["families"] == ["c", "d", "e"]
    simulator = load_simulator(tmp_path / "sim")
    assert all(name[0] not in "ab" for name in simulator.names)
    own = [number for number in (0.0, 1.0, 2.0) for _ in range(OWN_MEMBERS)]
    assert simulator.ensemble.family.tolist() == [COMMON] * QUICK_MEMBERS + own
    families = [report["families"][int(number)] for number in simulator.tasks.family]
    assert families == [name[0] for name in simulator.names]


def test_only_what_was_recorded_can_be_left_out(tmp_path: Path) -> None:
    traces = write_traces(tmp_path / "traces", made_up_traces(2))
    with pytest.raises(InputError, match=r"Unknown family of recorded episodes 'movie-reviews'.*a, b, c, d, e"):
        calibrate(traces, tmp_path / "sim", leave_out=["sst2"], quick=True)
    with pytest.raises(InputError, match="no recorded episode is left"):
        calibrate(traces, tmp_path / "sim", leave_out=["a", "b", "c", "d", "e"], quick=True)
    assert not (tmp_path / "sim").exists()


def test_settings_of_one_pool_keep_their_budgets() -> None:
    """A small task gives the same pool in every setting; budgets tell them apart."""
    longer = made_up_traces(2, seed=1)
    longer = longer.assign(episode=longer["episode"] + "-longer", budget=4000)
    table = pd.concat([made_up_traces(2), longer], ignore_index=True)
    batch = trace_batch(table, recorded_tasks(table)[0])
    wanted = {name: 4000.0 if name.endswith("longer") else 2000.0 for name in batch.episodes}
    assert dict(zip(batch.episodes, batch.tasks.budget.tolist(), strict=True)) == wanted


def test_a_setting_without_a_dense_episode_is_named(tmp_path: Path) -> None:
    table = made_up_traces(3)
    with pytest.raises(InputError, match="'b' with a pool of 1000 has no dense episode"):
        calibrate(write_traces(tmp_path / "t", table[table["episode"] != "b-0"]), tmp_path / "sim", quick=True)


@given(st.integers(0, 2**32), st.integers(1, 64))
@settings(max_examples=30)
def test_drawn_tasks_are_valid_and_new(simulator: Simulator, seed: int, n: int) -> None:
    drawn = draw_tasks(simulator.tasks, n, np.random.default_rng(seed))
    assert (drawn.n_classes >= 2).all()
    assert (drawn.dense_accuracy > drawn.majority).all()
    assert (drawn.dense_accuracy < 1.0).all()
    assert (drawn.dense_loss < np.log(drawn.n_classes)).all()
    assert np.isin(drawn.family, simulator.tasks.family).all()
    for field in fields(TaskBatch):
        assert np.isfinite(getattr(drawn, field.name)).all()


def opening(simulator: Simulator, seed: int, n_segments: int = 8) -> Opening:
    """Draw one lane."""
    generator = np.random.default_rng(seed)
    return draw_opening(simulator, draw_tasks(simulator.tasks, 1, generator), np.array([n_segments]), generator)


def test_same_opening_same_run_bit_for_bit(simulator: Simulator) -> None:
    def accuracies(seed: int) -> list[float]:
        session = SimulatedSession(simulator, opening(simulator, seed))
        session.open()
        return [session.advance(Ratios(0.5, 0.1 * i), Levers()).validation_accuracy for i in range(8)]

    assert accuracies(1) == accuracies(1)
    assert accuracies(1) != accuracies(2)


def test_no_run_has_fewer_than_two_rows_of_each_class(simulator: Simulator) -> None:
    lane = opening(simulator, 0)
    lane = replace(lane, tasks=replace(lane.tasks, n_classes=np.array([150.0]), pool_size=np.array([1200.0])))
    session = SimulatedSession(simulator, lane)
    session.open()
    assert session.advance(Ratios(0.01, 0.0), Levers()).label_fraction == pytest.approx(0.25)
    assert session.advance(Ratios(0.5, 0.0), Levers()).label_fraction == pytest.approx(0.5)


def test_compression_hurts_and_labels_help(simulator: Simulator) -> None:
    def final(data: float, compression: float) -> float:
        ends = []
        for seed in range(40):
            session = SimulatedSession(simulator, opening(simulator, seed))
            session.open()
            for _ in range(8):
                metrics = session.advance(Ratios(data, compression), Levers())
            ends.append(metrics.validation_accuracy)
        return float(np.mean(ends))

    assert final(1.0, 0.0) > final(1.0, 0.9) + 0.1
    assert final(1.0, 0.0) > final(0.05, 0.0) + 0.05


@pytest.mark.parametrize("lost_share", [0.5, 2.0], ids=["as it is", "every segment a collapse"])
@given(
    seed=st.integers(0, 10_000),
    actions=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=16, max_size=16),
)
@settings(max_examples=25)
def test_lanes_do_what_drive_does(
    simulator: Simulator, lost_share: float, seed: int, actions: list[tuple[float, float]]
) -> None:
    """The vectorised environment and the environment of one session are the same environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driving, "_LOST_SHARE", lost_share)
        _step_side_by_side(simulator, seed, actions)


def _step_side_by_side(simulator: Simulator, seed: int, actions: list[tuple[float, float]]) -> None:
    env = SimulatorVecEnv(simulator, 3, seed)
    lane = 1
    observation: Any = env.reset()[lane]
    lanes = env._lanes
    assert lanes is not None
    n_segments = int(lanes.n_segments[lane])
    one = np.array([lane])
    same = Opening(
        lanes.tasks.take(one),
        one * 0 + n_segments,
        lanes._members[one],
        lanes._sensitivity[one],
        lanes._noise[one, :n_segments].copy(),
        lanes._sample[one],
    )
    session = SimulatedSession(simulator, same)
    drive = Drive(
        OpenedSession(
            session,
            session.open(),
            float(lanes.tasks.dense_accuracy[lane]),
            float(env._wishes.format_speedup[lane]),
        ),
        preference=_preference(env._wishes, lane),
        limits=Limits(),
        levers=Levers(),
    )
    for action in actions[:n_segments]:
        np.testing.assert_allclose(observation, drive.observe(), atol=2e-6)
        step = drive.act(np.array(action, np.float32))
        observations: Any
        observations, rewards, done, infos = env.step(np.tile(np.array(action, np.float32), (3, 1)))
        assert rewards[lane] == pytest.approx(step.reward, abs=2e-6)
        assert done[lane] == drive.done
        observation = infos[lane]["terminal_observation"] if done[lane] else observations[lane]
    np.testing.assert_allclose(observation, drive.observe(), atol=2e-6)


def _preference(wishes: PreferenceBatch, lane: int) -> Preference:
    values = {field.name: float(getattr(wishes, field.name)[lane]) for field in fields(Preference)}
    wanted: dict[str, Any] = {name: None if np.isnan(value) else value for name, value in values.items()}
    return Preference(**wanted)


def test_controllers_meet_the_same_episodes(simulator: Simulator) -> None:
    def seen(level: float) -> list[Any]:
        env = SimulatorVecEnv(simulator, 16, 5)
        env.reset()
        found = []
        for _ in range(40):
            _, _, done, _ = env.step(np.full((16, 2), level, np.float32))
            assert env._lanes is not None
            found.append((done.tolist(), env._lanes.tasks.dense_accuracy.tolist(), env._wishes.label_weight.tolist()))
        return found

    assert seen(-0.5) == seen(0.7)


def test_state_goes_on_bit_for_bit(simulator: Simulator) -> None:
    generator = np.random.default_rng(0)
    actions = generator.uniform(-1, 1, (60, 8, 2)).astype(np.float32)
    env = SimulatorVecEnv(simulator, 8, 3)
    env.reset()
    for action in actions[:30]:
        env.step(action)
    # Through JSON where it is no array: what a checkpoint does.
    state = env.state_dict()
    state["generator"] = json.loads(json.dumps(state["generator"]))
    expected = [env.step(action)[:2] for action in actions[30:]]
    other = SimulatorVecEnv(simulator, 8, 99)
    other.load_state_dict(state)
    for action, (observation, reward) in zip(actions[30:], expected, strict=True):
        found = other.step(action)
        np.testing.assert_array_equal(found[0], observation)
        np.testing.assert_array_equal(found[1], reward)


@pytest.mark.parametrize("mode", ["ratios", "levers"])
def test_both_checkers_pass_without_a_warning(folder: Path, mode: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("sec_rl/Synergy-v0", simulator=folder, action_mode=mode)
        gymnasium_check(env.unwrapped)
        sb3_check(env)
        assert env.observation_space.contains(env.reset(seed=1)[0])


def test_made_environment_repeats_and_names_what_is_wrong(folder: Path) -> None:
    def episode(seed: int) -> list[float]:
        env = gymnasium.make("sec_rl/Synergy-v0", simulator=folder, task="b")
        env.reset(seed=seed, options={"preference": Preference(target_speedup=2.0)})
        rewards, over = [], False
        while not over:
            _, reward, over, _, info = env.step(np.array([0.2, 0.3], np.float32))
            rewards.append(float(reward))
        assert info["metrics"]["n_classes"] == 6
        return rewards

    assert episode(3) == episode(3)
    assert episode(3) != episode(4)
    with pytest.raises(InputError, match="recorded task 'bb'"):
        gymnasium.make("sec_rl/Synergy-v0", simulator=folder, task="bb").reset(seed=0)
    with pytest.raises(InputError, match=r"backend 'brt'.*Did you mean 'bert'"):
        gymnasium.make("sec_rl/Synergy-v0", backend="brt")
    faults: list[tuple[dict[str, Any], str]] = [
        ({"reference_accuracy": 84.0}, "84"),
        ({"format_speedup": 0.0}, "above 0"),
    ]
    for wrong, said in faults:
        with pytest.raises(InputError, match=said):
            gymnasium.make("sec_rl/Synergy-v0", simulator=folder, **wrong)
    env = gymnasium.make("sec_rl/Synergy-v0", simulator=folder)
    with pytest.raises(InputError, match=r"'prefrence'.*Did you mean 'preference'"):
        env.reset(options={"prefrence": None})


def test_what_an_environment_knows_of_the_dense_model_counts(folder: Path) -> None:
    def opened(**known: Any) -> Any:
        env = gymnasium.make("sec_rl/Synergy-v0", simulator=folder, task="b", **known)
        seen, _ = env.reset(seed=3, options={"preference": Preference(target_speedup=8.0, max_accuracy_drop=1.0)})
        _, _, _, _, info = env.step(np.array([0.2, 0.0], np.float32))
        return seen[OBSERVATION_NAMES.index("target_speedup")], info["reward_terms"]["missed_accuracy"]

    plain, quick, modest = opened(), opened(format_speedup=4.0), opened(reference_accuracy=0.0)
    # Of eight times, pruning has two left; log2 over 10.
    assert (plain[0], quick[0]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert plain[1] > 0.0 == modest[1]


def test_broken_simulators_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no simulator"):
        load_simulator(tmp_path)
    whole = {name: (folder / name).read_bytes() for name in (DESCRIPTION, WEIGHTS)}
    for name, content in (
        (WEIGHTS, whole[WEIGHTS][:-100]),
        (WEIGHTS, b"\x80\x04" + whole[WEIGHTS]),
        (DESCRIPTION, whole[DESCRIPTION][:-20]),
        (DESCRIPTION, whole[DESCRIPTION].replace(b"log_removed", b"log_rem0ved")),
        (DESCRIPTION, b"[]"),
    ):
        for other, bytes_ in whole.items():
            (tmp_path / other).write_bytes(content if other == name else bytes_)
        with pytest.raises(InputError):
            load_simulator(tmp_path)
