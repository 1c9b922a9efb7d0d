"""Training from start to policy folder: it learns, says how far it is, resumes bit for bit, and ends cleanly."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from benchmarks.faults.layouts import random_network
from benchmarks.recipes import with_levers
from sec_rl.agents import checkpoint
from sec_rl.agents import train as training
from sec_rl.agents.checkpoint import join_state, load_state, save_state, split_state
from sec_rl.agents.learn import learn
from sec_rl.agents.learners import cloning
from sec_rl.agents.learners.paired import LearningDivergedError
from sec_rl.agents.policy import CARD, TENSORS, Policy, load_policy, save_policy
from sec_rl.agents.training_folder import PROGRESS, TENSORBOARD, TRAINING, Progress, open_training_folder
from sec_rl.agents.training_plan import TrainingPlan
from sec_rl.agents.tuning import Tuned, tune_schedules
from sec_rl.errors import InputError, RunFolderError
from tests.toy_lanes import ToyLanes

PLAN = TrainingPlan(
    steps=20_000,
    lanes=64,
    evaluate_every=5_000,
    episodes=64,
    settings={"warm_up": 50, "n_epochs": 2, "rate": 2e-3, "log_std": -1.0},
)
ROOT = Path(__file__).parents[1]


@functools.cache
def tuned() -> Tuned:
    """Return the best schedules of the toy, found in fewer episodes than by default."""
    return tune_schedules(ToyLanes, episodes=256)


def train(*arguments: Any, **settings: Any) -> Policy:
    """Learn from the best schedules of the toy, which show themselves in fewer episodes than by default."""
    with mock.patch.object(cloning, "_SHOWN_EPISODES", 512):
        return training.train(*arguments, tuned=tuned(), **settings)


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return what was written about progress."""
    return [json.loads(line) for line in (folder / PROGRESS).read_text().splitlines()]


def clockless(folder: Path) -> list[dict[str, Any]]:
    """Return the lines without what depends on the clock."""
    clock = ("seconds", "steps_per_second", "seconds_left")
    return [{key: value for key, value in line.items() if key not in clock} for line in lines(folder)]


class StopError(Exception):
    """Stands for a signal."""


def stop_after(count: int) -> Any:
    """Return a callback that ends the process's training after so many evaluations."""
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == count:
            raise StopError

    return report


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was not interrupted."""
    out = tmp_path_factory.mktemp("train") / "policy"
    train(ToyLanes, out, PLAN, provenance={"simulator": "toy"})
    return out


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped after its first evaluation."""
    out = tmp_path_factory.mktemp("interrupted") / "policy"
    with pytest.raises(StopError):
        train(ToyLanes, out, PLAN, on_progress=stop_after(1))
    return out


def test_it_writes_a_policy_that_beats_the_best_fixed_schedule(finished: Path) -> None:
    policy = load_policy(finished)
    ahead = policy.scores["ahead_of_best_fixed"]
    assert 0.0 < ahead["low"] < ahead["mean"] < ahead["high"]
    assert policy.provenance["simulator"] == "toy"
    assert policy.provenance["algorithm"] == "ppo"
    assert policy.provenance["ended"] == "budget"
    assert set(policy.provenance["versions"]) == {"sec-rl", "numpy", "torch", "stable-baselines3"}


def test_progress_says_how_far_it_is(finished: Path) -> None:
    found = lines(finished)
    steps = [line["steps"] for line in found]
    assert steps[0] == 0
    assert sorted(steps) == steps
    assert PLAN.steps <= steps[-1] <= 1.2 * PLAN.steps
    assert set(found[0]) == set(Progress.__dataclass_fields__)
    assert found[0]["seconds_left"] is None
    assert found[-1]["seconds_left"] == 0.0
    assert found[1]["seconds_left"] > 0.0 < found[1]["steps_per_second"]
    assert all(line["low"] <= line["difference"] <= line["high"] for line in found)
    best = max(found, key=lambda line: line["mean_return"])
    assert best["improved"]
    assert load_policy(finished).provenance["best_step"] == best["steps"]
    assert any((finished / TENSORBOARD).glob("events.*"))


_RESUME = """
import sys, warnings
warnings.simplefilter("error")
from pathlib import Path
from tests.test_train import PLAN, train
from tests.toy_lanes import ToyLanes
train(ToyLanes, Path(sys.argv[1]), PLAN, provenance={"simulator": "toy"}, resume=True)
"""


@pytest.mark.parametrize("count", [1, 3])
def test_a_fresh_process_goes_on_bit_for_bit(finished: Path, tmp_path: Path, count: int) -> None:
    """Stopped after the evaluation of the clone, and in the middle; twice the same files in the end."""
    out = tmp_path / "policy"
    with pytest.raises(StopError):
        train(ToyLanes, out, PLAN, provenance={"simulator": "toy"}, on_progress=stop_after(count))
    assert not (out / CARD).exists()
    # What was written after the state, as if the machine had died a moment later.
    with (out / PROGRESS).open("a") as file:
        file.write(json.dumps({"steps": 10**9}) + '\n{"steps": 5')
    subprocess.run([sys.executable, "-c", _RESUME, str(out)], check=True, cwd=ROOT, timeout=200)
    assert (out / TENSORS).read_bytes() == (finished / TENSORS).read_bytes()
    assert (out / CARD).read_bytes() == (finished / CARD).read_bytes()
    assert clockless(out) == clockless(finished)


def test_a_damaged_state_gives_way_to_the_one_before(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    with pytest.raises(StopError):
        train(ToyLanes, out, PLAN, provenance={"simulator": "toy"}, on_progress=stop_after(3))
    newest = max((out / TRAINING).glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"\1")
    train(ToyLanes, out, PLAN, provenance={"simulator": "toy"}, resume=True)
    assert (out / TENSORS).read_bytes() == (finished / TENSORS).read_bytes()


def test_folders_are_not_overwritten_by_accident(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="finished policy; give another folder or --overwrite"):
        train(ToyLanes, finished, PLAN)
    with pytest.raises(RunFolderError, match="nothing to resume"):
        train(ToyLanes, finished, PLAN, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="no training; nothing was touched"):
        train(ToyLanes, tmp_path, PLAN)
    with pytest.raises(InputError, match="no training to resume"):
        train(ToyLanes, tmp_path / "nothing", PLAN, resume=True)
    with pytest.raises(RunFolderError, match="a file"):
        train(ToyLanes, tmp_path / "notes.txt", PLAN)
    with (
        open_training_folder(tmp_path / "held", resume=False, overwrite=False),
        pytest.raises(RunFolderError, match="in use"),
    ):
        train(ToyLanes, tmp_path / "held", PLAN)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(PLAN, seed=1), "seed 0; it cannot be resumed with 1"),
        (replace(PLAN, steps=40_000), "steps 20000; it cannot be resumed with 40000"),
        (replace(PLAN, settings={"rate": 1e-3}), "settings"),
        (replace(PLAN, algorithm="cross-entropy", settings={}), "algorithm 'ppo'"),
        (replace(PLAN, algorithm="sac", settings={}), "'sac' in these lanes cannot be resumed exactly"),
    ],
)
def test_another_plan_is_not_resumed(interrupted: Path, other: TrainingPlan, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(ToyLanes, interrupted, other, resume=True)
    with pytest.raises(RunFolderError, match="interrupted; give --resume, or --overwrite"):
        train(ToyLanes, interrupted, PLAN)


def test_it_stops_when_nothing_is_gained(tmp_path: Path) -> None:
    """With a rate of nearly 0 the policy stays the clone."""
    plan = replace(PLAN, steps=10**6, patience=2, settings={"rate": 1e-12, "warm_up": 1})
    policy = train(ToyLanes, tmp_path / "policy", plan, overwrite=True)
    assert policy.provenance["ended"] == "no gain"
    assert policy.provenance["steps_taken"] < 50_000


@pytest.mark.parametrize(
    ("algorithm", "settings"), [("sac", {"gradient_steps": 1}), ("dqn", {"gradient_steps": 1}), ("cross-entropy", {})]
)
def test_other_algorithms_write_policies_too(tmp_path: Path, algorithm: str, settings: dict[str, Any]) -> None:
    plan = replace(PLAN, algorithm=algorithm, steps=5_000, settings=settings)
    train(ToyLanes, tmp_path / "policy", plan)
    assert load_policy(tmp_path / "policy").provenance["algorithm"] == algorithm


def test_divergence_ends_with_one_error_and_keeps_the_best(tmp_path: Path) -> None:
    with pytest.raises(LearningDivergedError, match=r"no number\. The best policy so far, of step") as stopped:
        train(ToyLanes, tmp_path / "policy", PLAN, learn_in=ToyLanes(64, 1, poison=200))
    assert "\n" not in str(stopped.value)
    kept = load_policy(tmp_path / "policy")
    assert kept.provenance["ended"] == "diverged"
    assert 0 < kept.provenance["steps_taken"] <= 200 * 64


def test_it_goes_on_from_a_policy_in_other_lanes(finished: Path, tmp_path: Path) -> None:
    """As after the simulator in real runs: learned there, judged in the simulator."""
    start = load_policy(finished)
    plan = replace(PLAN, steps=4_000, lanes=32)
    policy = train(ToyLanes, tmp_path / "policy", plan, start=start, learn_in=ToyLanes(16, 99))
    assert lines(tmp_path / "policy")[0]["difference"] > 0.0
    assert policy.scores["mean_return"] >= start.scores["mean_return"] - 0.05


@pytest.mark.parametrize("bad", [{"steps": 0}, {"lanes": 0}, {"seed": -1}, {"patience": 0}])
def test_plans_that_are_none_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError):
        replace(PLAN, **bad)  # type: ignore[arg-type]


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    state = {
        "a": {"b": np.arange(3), "c": {"d": np.array(2.5), "e": True, "f": {}}},
        "generator": generator.bit_generator.state,
        "g": np.array([True, False]),
        "h": None,
    }
    for number in (1, 2, 30):
        save_state(tmp_path, number, {**state, "number": number})
    assert len(list(tmp_path.iterdir())) == 4
    back = load_state(tmp_path)
    assert back["number"] == 30
    assert back["generator"] == generator.bit_generator.state
    np.testing.assert_array_equal(back["a"]["b"], np.arange(3))
    assert back["a"]["c"]["d"] == 2.5
    assert join_state(*split_state({"x": {"y": 1}})) == {"x": {"y": 1}}
    for leaf in ("x/y", "y/x", "z/x/y"):
        with pytest.raises(InputError, match="no place for it"):
            join_state({leaf: np.arange(3)}, {"x": 1, "z": {"x": []}})
    for path in tmp_path.glob("*.json"):
        path.write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        load_state(tmp_path)


def test_states_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "__version__", "0.0.1")
    save_state(tmp_path, 1, {"a": np.arange(3)})
    assert load_state(tmp_path)["a"][2] == 2
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"left by sec-rl 0\.0\.1, and .* resume with 0\.0\.1, or .* --overwrite"):
        load_state(tmp_path)


def test_a_policy_is_a_controller_of_lanes() -> None:
    policy = Policy(random_network(0))
    policy.begin(4, 0)
    assert policy.act(ToyLanes(4, 0).reset()).shape == (4, 2)


def test_a_policy_of_levers_is_no_start(tmp_path: Path) -> None:
    save_policy(Policy(with_levers(random_network(0)), "levers"), tmp_path / "levers")
    with pytest.raises(InputError, match="mode 'levers'"):
        learn(tmp_path / "out", start=tmp_path / "levers", steps=64)
