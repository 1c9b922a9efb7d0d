"""The benchmark of controllers: what it counts, what its searches find, and that the left-out family is left out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import controllers_real
from benchmarks.controllers import read_options
from benchmarks.controllers_report import Line, judge, lines_of, method_table, overtaken_after, preference_table
from benchmarks.families import Family, play_family
from benchmarks.opponents import TPE, one_training
from benchmarks.planning import train_greedily
from benchmarks.played import play_worlds
from benchmarks.population import copy_runs, explore, takeovers, train_population
from benchmarks.prepared import save_preferred
from benchmarks.recipes import LEARNED, POLICY
from benchmarks.search import SPACE, RandomSearch, TpeSearch, draw_settings, schedule_of, search
from benchmarks.side_by_side import Worlds
from benchmarks.spent import curve, front_points, hypervolume, hypervolumes, kept, overtakes, spend
from benchmarks.stratified import improvement, interquartile, lower_end, mean
from benchmarks.worlds import (
    ACCURACY,
    LABELS,
    LEARNERS,
    MEASURED,
    N_OUTCOMES,
    PREFERENCES,
    UTILITY,
    Judge,
    World,
    open_judge,
)
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.evaluate import play
from sec_rl.agents.preferred import PreferredSchedule
from sec_rl.agents.shipped import shipped_policy, shipped_simulator, shipped_traces
from sec_rl.agents.traces import read_traces, without
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.errors import InputError
from sec_rl.values import Preference
from tests.made_up_traces import made_up_traces


@pytest.fixture(scope="module")
def judged() -> Judge:
    return open_judge(made_up_traces(), "b", "own", quick=True)


@pytest.fixture(scope="module")
def world(judged: Judge) -> World:
    return judged.world(3)


@pytest.fixture(scope="module")
def worlds(world: World) -> Worlds:
    return Worlds((world,))


def planted(data: float, compression: float) -> Any:
    """Return a world in the place of a real one, whose utility falls with the distance from one schedule."""

    class Planted:
        seeds, preferences = (0,), (Preference(),) * 2

        def train(self, controller: Any, training: int) -> NDArray[np.float64]:
            found = np.zeros((1, 2, N_OUTCOMES))
            for lane, each in enumerate(controller.schedules):
                gap = abs(each.data_ratio - data) + abs(each.compression_ratio - compression)
                found[0, lane, [MEASURED, UTILITY]] = -gap
            return found

    return Planted()


def test_searches_find_a_planted_optimum() -> None:
    pytest.importorskip("optuna")
    # At random the nearest of 60 draws is about 0.1 away, the middle of the space 0.5.
    for new, most in ((RandomSearch, 0.3), (TpeSearch, 0.15)):
        found = search(planted(0.3, 0.8), new, 60)[0]
        assert found.shape == (2, 60, N_OUTCOMES)
        assert (curve(found)[:, -1] > -most).all()
        assert (curve(found)[:, -1] > curve(found)[:, 0]).all()
    tpe = search(planted(0.3, 0.8), TpeSearch, 60)[0]
    # Later proposals lie nearer: it learns from what it is told, and it starts from the usual schedule.
    assert tpe[:, 40:, UTILITY].mean() > tpe[:, :20, UTILITY].mean() + 0.1
    assert tpe[0, 0, UTILITY] == pytest.approx(-1.0)


def test_a_search_keeps_what_measured_best_and_is_judged_by_what_that_is() -> None:
    found = np.zeros((1, 3, N_OUTCOMES))
    found[0, :, MEASURED], found[0, :, UTILITY] = [0.1, 0.5, 0.3], [0.2, 0.0, 0.9]
    assert curve(found).tolist() == [[0.2, 0.0, 0.0]]
    assert kept(found, 1)[0, UTILITY] == 0.2
    assert overtakes(np.array([0.1]), np.array([[0.0, 0.05, 0.2]])) == 3
    assert overtakes(np.array([0.3]), np.array([[0.0, 0.05, 0.2]])) is None


def test_every_training_is_paid_for() -> None:
    spent = spend(20, 3000.0, 0.02, 1e6)
    assert (spent.trainings, spent.passes, spent.seconds, spent.recorded_passes) == (20, 60_000.0, 1200.0, 1e6)


def test_hypervolume_by_hand() -> None:
    pytest.importorskip("moocore")
    assert hypervolume(np.array([[0.5, 0.5, 0.5, 0.5]])) == pytest.approx(1 / 16)
    # Two boxes of 1/16 and 3/64 that share 1/32; a dominated and an unreachable point add nothing.
    points = np.array([[0.5, 0.5, 0.5, 0.5], [0.25, 0.75, 0.5, 0.5], [0.9, 0.9, 0.9, 0.9], [-5.0, 0.0, 0.0, 1.1]])
    assert hypervolume(points) == pytest.approx(1 / 16 + 3 / 64 - 1 / 32)
    # Nothing lost, half of the opened bytes and of the latency, a quarter of the labels; the second is 5 points above
    # dense, half as much again as there was to lose.
    model = np.array([[[0.0, 0.0, 0.9, 0.1, 0.5, 0.25], [0.0, 0.0, 0.95, 0.1, 0.5, 0.25]]])
    assert front_points(model, 0.9, 0.2)[0].tolist() == pytest.approx([0.0, 0.5 / 1.1, 0.5 / 1.1, 0.25 / 1.1])
    one = 0.6 * 0.6 * 0.85 / 1.1**3
    assert hypervolumes(model, 0.9, 0.2, [1, 2, 3]) == [pytest.approx(one), pytest.approx(1.5 * one), None]
    # All labels bought is no reason to count for nothing.
    model[..., LABELS] = 1.0
    assert hypervolumes(model, 0.9, 0.2, [1]) == [pytest.approx(0.6 * 0.6 * 0.1 / 1.1**3)]


def test_interquartile_means_ignore_tails_and_resample_whole_worlds() -> None:
    values = [np.array([[-100.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 100.0]])]
    assert interquartile(values).mean == pytest.approx(3.5)
    # All preferences of a world say the same: repeating them must not make anything surer.
    one = np.random.default_rng(0).normal(size=(20, 1))
    once, often = interquartile([one]), interquartile([np.repeat(one, 10, axis=1)])
    assert often.low == pytest.approx(once.low, abs=0.1)
    assert often.high == pytest.approx(once.high, abs=0.1)
    assert improvement([np.array([[1.0, 2.0]])], [np.array([[0.0, 2.0]])]).mean == 0.75
    assert lower_end(once).mean == once.low
    # Two learners that differ: however many worlds each of them played, the next one may be like either.
    taught = 0.01 * one + np.array([[-1.0], [1.0]] * 10)
    worlds_only, both = mean([taught]), mean([taught], learners=2)
    assert worlds_only.mean == both.mean
    assert lower_end(both).mean < -0.9 < -0.6 < lower_end(worlds_only).mean
    with pytest.raises(InputError, match="two seeds"):
        lower_end(interquartile([one[:1]]))


def test_trainings_share_their_world_and_not_their_luck(judged: Judge, world: World, worlds: Worlds) -> None:
    controller = TargetSchedule()
    first, again, other = (worlds.train(controller, n)[0] for n in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first[:, ACCURACY] != other[:, ACCURACY]).all()
    # What is measured scatters around what is; what costs are is no matter of luck.
    np.testing.assert_array_equal(first[:, LABELS], other[:, LABELS])
    several = Worlds(tuple(judged.world(seed) for seed in range(16)))
    many = np.stack([several.train(controller, training) for training in range(8)])
    noise = (many[..., MEASURED] - many[..., UTILITY])[:, :, :6]
    assert 0.002 < noise.std() < 0.03
    # One split judges all models of a world, and two thirds of its luck are the same for each of them.
    common = noise.mean(axis=(0, 2))
    assert 0.4 < common.var() / noise.var() < 0.9
    assert abs(common.mean()) < 3 * common.std() / np.sqrt(len(common))
    assert len(world.simulator.tasks) == world.simulator.ensemble.n_members == 1
    assert first.shape == (len(PREFERENCES), N_OUTCOMES)
    settings = {judged.world(seed).simulator.names for seed in range(0, 16, LEARNERS)}
    for learner in range(LEARNERS):
        met = {judged.world(seed).simulator.names for seed in range(learner, 16, LEARNERS)}
        assert met == settings
    assert settings == {(name,) for name in judged.simulator.names}


def test_worlds_side_by_side_are_what_each_is_alone(judged: Judge) -> None:
    several = Worlds(tuple(judged.world(seed) for seed in range(4)))
    alone = [several.take([place]) for place in range(4)]
    for method in (
        one_training([TargetSchedule()]),
        partial(search, new=RandomSearch, trainings=2),
        partial(train_population, size=3),
        partial(train_greedily, model=judged.simulator, horizon=1),
    ):
        found = method(several)
        assert found.shape[:2] == (4, len(PREFERENCES))
        np.testing.assert_allclose(found, np.concatenate([method(each) for each in alone]), atol=1e-12)
    learners = [TargetSchedule(), TargetSchedule(compression_ratio=0.75)]
    each = [one_training([learner])(several) for learner in learners]
    turns = one_training(learners)(several)
    for turn, found in enumerate(each):
        np.testing.assert_allclose(turns[turn::2], found[turn::2], atol=1e-12)
    assert len({float(value) for value in found[:, 0, 0, ACCURACY]}) > 1
    with pytest.raises(InputError, match="equal segments"):
        Worlds((judged.world(0), judged.world(0, 6)))


def test_final_state_is_the_one_before_lanes_start_anew(world: World) -> None:
    env = world.lanes(0)
    played = play(env, TargetSchedule(compression_ratio=0.75, follows_targets=False), 0)
    ended = env.ended
    assert ended is not None
    assert (ended.segment == world.n_segments).all()
    free = [index for index, each in enumerate(world.preferences) if each.target_speedup is None]
    assert ended.compression_ratio[free[0]] == pytest.approx(0.75, abs=1e-6)
    assert ended.label_fraction.tolist() == [1.0] * env.num_envs
    assert np.abs(ended.accuracy - env.ended_accuracy).max() > 0.0
    assert played.alive.all()


def test_judges_know_the_family_they_judge() -> None:
    table = made_up_traces()
    own = open_judge(table, "b", "own", quick=True).simulator
    assert set(own.names) == {"b/1000"}
    assert (own.tasks.n_classes == 6).all()
    # The law that made these episodes is not the simulator's, but near it.
    assert 0.0 < own.about["half_error_points"] < 15.0
    shared = open_judge(table, "b", "shared", quick=True).simulator
    assert set(shared.names) == {"b/1000"}
    assert not np.array_equal(own.ensemble.effect, shared.ensemble.effect)
    with pytest.raises(InputError, match="'z'"):
        open_judge(table, "z", "own")


def test_a_population_takes_over_runs_and_explores_within_the_space(world: World, worlds: Worlds) -> None:
    generator = np.random.default_rng(0)
    pairs = takeovers(np.array([0.3, 0.1, 0.9, 0.5, 0.2]), generator)
    assert pairs == [(1, 2)]
    for _ in range(50):
        moved = explore(draw_settings(generator), generator)
        assert all(low <= moved[name] <= high for name, (low, high) in SPACE.items())
        schedule_of(moved)
    env = world.lanes(0, copies=2)
    env.reset()
    actions = np.tile(np.array([[1.0, 1.0], [-1.0, -1.0]], np.float32), (len(PREFERENCES), 1))
    env.step(actions)
    copy_runs(env, np.array([1]), np.array([0]))
    following, _, _, _ = env.step(np.zeros_like(actions))
    after = np.asarray(following)
    known = [OBSERVATION_NAMES.index(name) for name in ("compression_ratio", "data_ratio", "label_fraction")]
    np.testing.assert_array_equal(after[0, known], after[1, known])
    # The luck of the following segment is the run's own.
    assert after[0, OBSERVATION_NAMES.index("loss")] != after[1, OBSERVATION_NAMES.index("loss")]
    found = train_population(worlds, 5)
    assert found.shape == (1, len(PREFERENCES), 1, N_OUTCOMES)


def test_planning_with_the_truth_is_better_than_nothing(judged: Judge, worlds: Worlds) -> None:
    truth = judged.simulator
    planned = train_greedily(worlds, truth, 3)[..., 0, UTILITY]
    nothing = one_training([TargetSchedule(1.0, 0.01, follows_targets=False)])(worlds)[..., 0, UTILITY]
    assert planned.mean() > nothing.mean() + 0.005


def test_what_was_played_is_not_played_again(world: World, worlds: Worlds, tmp_path: Path) -> None:
    calls = []

    def method(each: Worlds) -> NDArray[np.float64]:
        calls.append(each.seeds)
        return np.full((1, len(PREFERENCES), 1, N_OUTCOMES), float(len(calls)))

    path = tmp_path / "judge" / "method.npz"
    first = play_worlds(method, worlds, path, {"policy": "a"})
    np.testing.assert_array_equal(play_worlds(method, worlds, path, {"policy": "a"}), first)
    assert calls == [[3]]
    play_worlds(method, worlds, path, {"policy": "b"})
    play_worlds(method, Worlds((replace(world, seed=4),)), path, {"policy": "b"})
    assert calls == [[3], [3], [4]]


def simulated_family(ahead: float) -> Family:
    """Return a family in which every method but the policy has a utility of 0, and the policy `ahead`."""
    generator = np.random.default_rng(0)
    n, shape = 6, (6, len(PREFERENCES))
    methods = {**dict.fromkeys(LEARNED, 1), "dense, int8": 1, "best per preference": 1, "cubic to a half": 1, TPE: 20}
    outcomes = {}
    for method, trainings in methods.items():
        found = np.zeros((*shape, trainings, N_OUTCOMES))
        found[..., UTILITY] = 0.001 * generator.normal(size=(*shape, trainings)) + (
            ahead if method == POLICY else 0.0
        )
        found[..., MEASURED] = found[..., UTILITY]
        outcomes[method] = found
    spent = {method: spend(trainings, 100.0, 0.01) for method, trainings in methods.items()}
    simulator = load_simulator(shipped_simulator())
    worlds = [World(simulator, seed) for seed in range(n)]
    return Family("x", worlds, outcomes, spent, frozenset({TPE}), 2, {}, {})


def test_verdicts_can_say_no() -> None:
    for ahead, passed in ((0.05, True), (-0.05, False)):
        families = [simulated_family(ahead)]
        lines: list[Line] = lines_of(families)
        criteria = judge(lines)
        assert len(criteria) == len(LEARNED)
        assert [criterion.passed for criterion in criteria] == [passed] * len(criteria)
        assert overtaken_after(families) == (None if passed else 1)
        table = method_table(families, lines).splitlines()
        # Searches stand there once for 1, 5 and 20 trainings.
        assert len(table) == 2 + len(LEARNED) + 3 + 3
        assert any("TPE, 20 trainings | 20 | 2,000 |" in line for line in table)


def test_what_one_preference_costs_stands_in_its_own_row() -> None:
    family = simulated_family(0.0)
    dear = list(PREFERENCES).index("few labels")
    family.outcomes[POLICY][:, dear, :, UTILITY] -= 0.2
    family.outcomes[POLICY][:, dear, :, LABELS] = 0.25
    header, _, *rows = preference_table([family], lines_of([family])).splitlines()
    assert header.endswith("labels that it buys, % |")
    for name, row in zip(PREFERENCES, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0] == name
        assert cells[-1].startswith("25 " if name == "few labels" else "0 ")
        assert all(
            float(cell.split()[0]) == pytest.approx(-0.2 * (name == "few labels"), abs=0.01) for cell in cells[1:4]
        )


def test_options_need_no_tasks_unless_something_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEC_RL_TASKS", raising=False)
    options = read_options(["--quick", "--shared-judge"])
    assert options.command == "python -m benchmarks.controllers --quick --shared-judge"
    assert (options.tasks, options.seeds) == (("sst2",), (0, 1, 2, 3))
    assert options.name == "controllers-shared-judge"
    assert len(read_options([]).seeds) == 30
    with pytest.raises(InputError, match="two --seeds"):
        read_options(["--seeds", "0"])
    with pytest.raises(InputError, match="--tasks-root"):
        controllers_real.main([])


def test_nothing_of_the_left_out_family_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calibration, the policy and the schedules get a table without the family; the judge gets nothing else."""
    from benchmarks import families as module
    from benchmarks import prepared

    seen: dict[str, Any] = {}

    class StoppedError(Exception):
        pass

    def calibrated(traces: Path, out: Path, *, leave_out: list[str], quick: bool) -> None:
        seen["learned"] = set(without(read_traces(traces), leave_out)["family"])
        raise StoppedError

    monkeypatch.setattr(prepared, "calibrate", calibrated)
    judges: list[Judge] = []
    real = open_judge

    def opened(*arguments: Any, **keywords: Any) -> Judge:
        judges.append(real(*arguments, **keywords))
        return judges[-1]

    monkeypatch.setattr(module, "open_judge", opened)
    options = read_options(["--quick", "--tasks", "sst2", "--out", str(tmp_path)])
    with pytest.raises(StoppedError):
        play_family("sst2", options, lambda _: None)
    everything = set(read_traces(shipped_traces())["family"])
    assert seen["learned"] == everything - {"movie-reviews"}
    assert judges[0].simulator.about["families"] == ["movie-reviews"]


def test_a_folder_that_knows_the_family_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "without-movie-reviews"
    shutil.copytree(shipped_simulator(), folder / "simulator")
    shutil.copytree(shipped_policy(), folder / "policy")
    save_preferred(PreferredSchedule((TargetSchedule(),), np.zeros((8, 1, 5))), folder / "preferred.json")
    options = read_options(["--quick", "--tasks", "movie-reviews", "--out", str(tmp_path)])
    with pytest.raises(InputError, match=r"The simulator in .* was fitted to other episodes"):
        play_family("movie-reviews", options, lambda _: None)
