"""What ships with the package is whole, and says where it came from."""

from __future__ import annotations

import json

import numpy as np

from sec_rl.agents.baselines import TargetSchedule, baseline
from sec_rl.agents.evaluate import evaluate, paired_difference
from sec_rl.agents.learn import open_lanes_of
from sec_rl.agents.policy import load_policy
from sec_rl.agents.shipped import shipped_policy, shipped_simulator, shipped_traces
from sec_rl.agents.traces import read_traces
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.envs.observation import OBSERVATION_NAMES


def test_recorded_episodes_are_whole() -> None:
    table = read_traces(shipped_traces())
    episodes = table.drop_duplicates("episode")
    assert len(episodes) >= 90
    assert episodes["family"].nunique() >= 5
    assert set(episodes["controller"]) >= {"dense", "fixed", "cubic", "walk"}
    assert table["validation_accuracy"].between(0.0, 1.0).all()
    assert (table.groupby("episode")["label_fraction"].diff().dropna() >= 0.0).all()
    # A run that was rolled back is where it was, whatever it had been asked for.
    back = table[table["rolled_back"]]
    assert (back["target_compression"] != back["compression_ratio"]).mean() > 0.5
    assert (shipped_traces() / "README.md").is_file()


def test_simulator_was_fitted_to_them() -> None:
    simulator = load_simulator(shipped_simulator())
    table = read_traces(shipped_traces())
    assert simulator.about["episodes"] == table["episode"].nunique()
    assert simulator.about["families"] == sorted(table["family"].unique())
    assert set(simulator.about["left_out"]) == set(simulator.about["families"])


def test_policy_never_saw_the_demo_and_beats_schedules_in_simulation() -> None:
    policy = load_policy(shipped_policy())
    seen = policy.provenance["simulator"]["families"]
    assert "movie-reviews" not in seen
    assert len(seen) >= 5
    lanes = open_lanes_of(load_simulator(shipped_simulator()))
    ours = evaluate(lanes, policy, episodes=2048, seed=11)
    fixed = TargetSchedule(**policy.provenance["best_fixed"])
    for rival in (fixed, baseline("cubic"), baseline("dense"), baseline("walk")):
        ahead = paired_difference(ours, evaluate(lanes, rival, episodes=2048, seed=11))
        assert ahead.low > 0.0
    action = policy(np.zeros(len(OBSERVATION_NAMES), np.float32))
    assert action.shape == (2,)
    assert np.abs(action).max() <= 1.0


def test_policy_card_is_json_with_scores() -> None:
    card = json.loads((shipped_policy() / "policy.json").read_text(encoding="utf-8"))
    assert card["scores"]["ahead_of_best_fixed"]["low"] > 0.0
    assert card["scores"]["ahead_of_cubic"]["low"] > 0.0
