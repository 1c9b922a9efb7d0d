"""The benchmarks' own logic: runs that resume, estimates that judge, tables that name no machine."""

from __future__ import annotations

import itertools
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clock import remembered
from benchmarks.controlled_run import LIMITS, VARIANTS, judge, summary
from benchmarks.estimates import Criterion, estimate
from benchmarks.faults.children import is_running
from benchmarks.first_result import Step, result_line, steps, timed
from benchmarks.interop import differences
from benchmarks.left_out import PREFERENCES, PREFERRING, SCHEDULES, real_rows
from benchmarks.noise import WIDTHS, continued
from benchmarks.noise import write as write_noise
from benchmarks.options import parse_options
from benchmarks.ranking import between_seeds, bound, real_values, without_the_easy
from benchmarks.runs import BenchmarkError, RunSpec, read_result, run_all
from benchmarks.writing import markdown_table, write_results
from sec_rl.agents.policy import load_policy, save_policy
from sec_rl.agents.shipped import shipped_policy
from sec_rl.errors import InputError, RunFolderError
from tests.made_up_runs import made_up_result
from tests.processes import wait_until

# Stands in for `sec-rl`: writes what a finished run leaves, counts its calls, fails when told so.
FAKE = """
import json, pathlib, sys
words = dict(zip(sys.argv[2:-1:2], sys.argv[3::2]))
assert sys.argv[1] == "run" and sys.argv[-1] == "--overwrite"
if words.get("--task") == "broken":
    sys.exit("no such task")
folder = pathlib.Path(words["--out"])
folder.mkdir(parents=True, exist_ok=True)
calls = folder / "calls"
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
(folder / "result.json").write_text(json.dumps({"source": "measured", "test_accuracy": 0.9}))
"""
PROGRAM = (sys.executable, "-c", FAKE)
# The first time, kills the worker that started it, and lives on unless it is tied to it.
DEADLY = """
import os, pathlib, signal, sys, time
from sec_rl.workers.tie import end_with_parent
end_with_parent()
note = pathlib.Path(sys.argv[-2]).parent / "pid"
if not note.exists():
    note.write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
"""


def _ignore(_line: str) -> None:
    pass


def test_finished_runs_are_reused_and_changed_ones_are_not(tmp_path: Path) -> None:
    spec = RunSpec("sst2/dense-seed0", {"task": "a", "seed": "0"})
    said: list[str] = []
    folder = run_all([spec, spec], tmp_path, said.append, program=PROGRAM)[spec.name]
    run_all([spec], tmp_path, said.append, program=PROGRAM)
    assert (folder / "calls").read_text() == "x"
    assert said[0] == "0 of 1 runs are finished already."
    assert said[-1] == "1 of 1 runs are finished already."
    run_all([RunSpec(spec.name, {"task": "a", "seed": "1"})], tmp_path, _ignore, program=PROGRAM)
    assert (folder / "calls").read_text() == "xx"


def test_a_run_is_not_reused_after_its_policy_was_learned_anew(tmp_path: Path) -> None:
    policy = load_policy(shipped_policy())
    save_policy(policy, tmp_path / "policy")
    spec = RunSpec("sec", {"schedule": "policy", "policy": str(tmp_path / "policy")})
    said: list[str] = []
    run_all([spec], tmp_path, _ignore, program=PROGRAM)
    run_all([spec], tmp_path, said.append, program=PROGRAM)
    assert said == ["1 of 1 runs are finished already."]
    network = policy.network
    biases = (*network.biases[:-1], network.biases[-1] + np.float32(0.1))
    save_policy(replace(policy, network=replace(network, biases=biases)), tmp_path / "policy")
    said.clear()
    run_all([spec], tmp_path, said.append, program=PROGRAM)
    assert said[0] == "0 of 1 runs are finished already."


def test_a_run_without_its_result_is_run_again(tmp_path: Path) -> None:
    spec = RunSpec("r", {"task": "a"})
    folder = run_all([spec], tmp_path, _ignore, program=PROGRAM)["r"]
    (folder / "result.json").unlink()
    run_all([spec], tmp_path, _ignore, program=PROGRAM)
    assert (folder / "calls").read_text() == "xx"


def test_a_failed_run_shows_what_it_printed_and_counts_as_unfinished(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"'r' ended with code 1(?s:.*)no such task"):
        run_all([RunSpec("r", {"task": "broken"})], tmp_path, _ignore, program=PROGRAM)
    said: list[str] = []
    run_all([RunSpec("r", {"task": "a"})], tmp_path, said.append, program=PROGRAM)
    assert said[0] == "0 of 1 runs are finished already."


def test_a_run_whose_worker_dies_is_run_again_and_the_first_one_ends(tmp_path: Path) -> None:
    spec = RunSpec("r", {"task": "a"})
    folder = run_all([spec], tmp_path, _ignore, program=(sys.executable, "-c", DEADLY + FAKE))["r"]
    assert (folder / "calls").read_text() == "x"
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_running(pid), 10.0)


def test_simulated_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"source": "simulated"}))
    with pytest.raises(BenchmarkError, match="simulated"):
        read_result(tmp_path)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=5))
def test_interval_holds_the_mean_and_lies_within_the_values(values: list[float]) -> None:
    found = estimate(values)
    assert found.low is not None
    assert found.high is not None
    slack = 1e-9
    assert min(values) - slack <= found.low <= found.mean + slack
    assert found.mean - slack <= found.high <= max(values) + slack


def test_one_seed_has_no_interval() -> None:
    assert estimate([0.5]).text() == "0.50"
    with pytest.raises(InputError):
        estimate([])


def test_criterion_judges_the_mean() -> None:
    assert Criterion("drop", estimate([0.5, 0.7]), "at most", 0.6).passed
    assert not Criterion("drop", estimate([0.5, 0.9]), "at most", 0.6).passed
    assert Criterion("speed", estimate([4.0, 5.0]), "at least", 4.5).line().startswith("pass  speed: 4.500 [")


def test_options_command_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "sst2").mkdir()
    given_words = ["--tasks-root", str(tmp_path), "--tasks", "sst2", "--out", str(tmp_path / "o"), "--quick"]
    options = parse_options("controlled_run", "", tasks=("sst2", "trec6"), arguments=given_words)
    assert options.command == "python -m benchmarks.controlled_run --tasks-root $SEC_RL_TASKS --tasks sst2 --quick"
    assert options.results == tmp_path / "o"
    assert options.seeds == (0,)


def test_another_encoder_has_its_own_runs_and_tables(tmp_path: Path) -> None:
    (tmp_path / "sst2").mkdir()
    words = ["--tasks-root", str(tmp_path)]
    usual = parse_options("paper_tables", "", tasks=("sst2",), arguments=words)
    options = parse_options("paper_tables", "", tasks=("sst2",), arguments=[*words, "--encoder", "mpnet-base"])
    assert (usual.name, usual.out.name) == ("paper_tables", "paper_tables")
    assert (options.name, options.out.name) == ("paper_tables-mpnet-base", "paper_tables-mpnet-base")


def test_options_name_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEC_RL_TASKS", raising=False)
    with pytest.raises(InputError, match="--tasks-root"):
        parse_options("x", "", tasks=("sst2",), arguments=[])
    with pytest.raises(InputError, match="'sst2'"):
        parse_options("x", "", tasks=("sst2",), arguments=["--tasks-root", str(tmp_path)])


def _row(variant: str, seed: int, drop: float) -> dict[str, object]:
    return {
        "task": "sst2",
        "variant": variant,
        "seed": seed,
        "test_accuracy": 87.0 - drop,
        "drop_points": drop,
        "size_bytes": 10_000_000,
        "size_ratio": 0.1,
        "latency_ms_batch32": 9.0,
        "speedup": 8.0,
        "speedup_over_int8": 2.0,
    }


def test_controlled_run_judges_each_limit_of_each_variant() -> None:
    drops = {"dense": 0.0, "cubic-0.5": 0.9, "cubic-0.75": 1.9}
    rows = [_row(variant, seed, drops[variant]) for variant in VARIANTS for seed in range(3)]
    criteria = judge(rows, ["sst2"])
    assert len(criteria) == 7
    assert [c.name for c in criteria if not c.passed] == ["sst2, cubic-0.5: points lost against dense"]
    assert set(LIMITS) < set(VARIANTS)
    table = summary(rows, ["sst2"]).splitlines()
    assert len(table) == 2 + len(VARIANTS)
    assert len({line.count("|") for line in table}) == 1


def test_results_carry_command_machine_and_verdicts(tmp_path: Path) -> None:
    (tmp_path / "sst2").mkdir()
    words = ["--tasks-root", str(tmp_path), "--results", str(tmp_path / "results")]
    options = parse_options("data_levers", "", tasks=("sst2",), arguments=words)
    criterion = Criterion("drop", estimate([1.0, 2.0]), "at most", 0.5)
    table = markdown_table(["a", "b"], [["x|y", "1"]])
    text = write_results(options, "Title", tables=[table], criteria=[criterion], data={"rows": [1]})
    assert text == (tmp_path / "results" / "data_levers.md").read_text()
    assert options.command in text
    assert "**fail**" in text
    assert "x\\|y" in text
    content = json.loads((tmp_path / "results" / "data_levers.json").read_text())
    assert content["rows"] == [1]
    assert content["criteria"][0]["passed"] is False
    assert content["machine"]["threads"] == options.threads
    assert str(tmp_path) not in text + json.dumps(content)


def test_useful_work_grows_with_tokens_and_counts_no_padding() -> None:
    from benchmarks.throughput_recipes import flops_per_example

    # One token through one layer of width 2 with 4 neurons: 2 * (16 + 16) forward, 4 * 2 in attention, times 3.
    assert flops_per_example(2, 4, 1, np.array([1])) == 3 * (2 * (16 + 16) + 8)
    one, two = (flops_per_example(384, 1536, 6, np.array([n])) for n in (16, 32))
    assert 2 * one < two < 2.1 * one


def test_competitors_prune_train_and_export_what_they_say(tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from benchmarks import competitors
    from sec_rl.measurement.prediction import Encodings, predict_onnx
    from sec_rl.training.batching import TokenRows

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        attn_implementation="eager",
    )
    model = BertForSequenceClassification(config).eval()
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 64)
    # The label decides every token but the first and the last: learnable within a few steps.
    ids = tuple(np.r_[1, generator.integers(10, 30, 4 + i % 5) + 20 * label, 2] for i, label in enumerate(labels))
    rows = TokenRows(ids, tuple(np.zeros_like(row) for row in ids), 0)
    competitors.prune_with_library(model, rows, labels, share=0.5, batch_size=16, seed=0)
    for layer in model.bert.encoder.layer:
        assert layer.attention.self.query.out_features == 16
        assert layer.intermediate.dense.out_features == 32
    competitors.fine_tune(model, rows, labels, passes=480, batch_size=16, seed=0, peak=5e-3)
    probabilities = competitors.torch_probabilities(model, rows)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    competitors.export_int8(model, tmp_path / "small" / "model.onnx")
    small = predict_onnx(tmp_path / "small" / "model.onnx", Encodings(rows.ids, rows.segments, 0), threads=1)
    assert np.abs(small - probabilities).max() < 0.1
    quantized, size_bytes = competitors.torch_int8(model)
    assert np.abs(competitors.torch_probabilities(quantized, rows) - probabilities).max() < 0.1
    assert size_bytes < 4 * sum(parameter.numel() for parameter in model.parameters())


def test_predictions_of_two_libraries_are_compared_text_by_text() -> None:
    ours = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    found = differences(ours, np.array([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]]))
    assert found == {"same": pytest.approx(2 / 3), "mean": pytest.approx(0.1), "largest": pytest.approx(0.2)}


@pytest.mark.parametrize(("noise", "seeds"), [(0.3, 2), (1.0, 3), (2.0, 5)])
def test_nothing_ranks_real_runs_better_than_their_own_noise_lets_it(noise: float, seeds: int) -> None:
    generator = np.random.default_rng(0)
    truth = generator.standard_normal((4000, 1))
    values = truth + noise * generator.standard_normal((4000, seeds))
    again = between_seeds(values)
    assert again is not None
    best = float(np.corrcoef(truth[:, 0], values.mean(axis=1))[0, 1])
    assert bound(again, seeds) == pytest.approx(best, abs=0.03)


def test_one_seed_says_nothing_of_its_noise() -> None:
    assert between_seeds(np.zeros((4, 1))) is None
    assert bound(-0.2, 3) == 0.0


def test_a_ranking_owes_nothing_to_what_is_easy() -> None:
    names = ("policy", "cubic", "dense", "random")
    # Simulated in the wrong order, but for the random walk at the end and dense at the top.
    found = without_the_easy([(name, "fast") for name in names], np.array([1, 2, 3, 0]), np.array([2, 1, 3, 0]))
    assert found == pytest.approx({"without_random": 0.5, "without_random_and_dense": -1.0})


def test_further_seeds_of_a_task_count_in_the_ranking(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"left_out\.json.*run benchmarks\.left_out first"):
        real_rows(tmp_path)

    def write(name: str, tasks: tuple[str, ...], seeds: tuple[int, ...]) -> None:
        wanted = itertools.product(tasks, seeds, (*PREFERRING, *SCHEDULES), PREFERENCES)
        keys = ("task", "seed", "controller", "preference", "utility")
        rows = [dict(zip(keys, (*row, 0.1 * row[1]), strict=True)) for row in wanted]
        (tmp_path / name).write_text(json.dumps({"rows": rows}))

    write("left_out.json", ("sst2", "mrpc"), (0, 1, 2))
    assert real_values(real_rows(tmp_path), "mrpc", "utility")[1].shape == (18, 3)
    write("left_out-more.json", ("mrpc",), (3, 4))
    rows = real_rows(tmp_path)
    assert real_values(rows, "mrpc", "utility")[1][0] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert real_values(rows, "sst2", "utility")[1].shape == (18, 3)
    assert {row["seed"] for row in real_rows(tmp_path, more=False)} == {0, 1, 2}


@pytest.mark.parametrize(("missed", "wrong", "code"), [(10, 0, 0), (11, 0, 1), (0, 1, 1)])
def test_a_clock_that_cannot_be_trusted_fails(missed: int, wrong: int, code: int, tmp_path: Path) -> None:
    options = parse_options("noise", "", tasks=(), arguments=["--results", str(tmp_path)])
    off = {"value": 1.2, "low": 1.1, "high": 1.3, "spread": 0.01}
    pairs = [off if i < missed else off | {"low": 0.9} for i in range(100)]
    medians = dict.fromkeys(WIDTHS, 1.0)
    order = [{"busy": False, "right": i >= wrong, "p50_ms": medians, "spread": 0.01} for i in range(20)]
    assert write_noise(options, pairs, {"idle": order}) == code
    assert f"{100 - missed} intervals hold 1" in (tmp_path / "noise.md").read_text()


def test_what_was_timed_before_an_interruption_is_kept(tmp_path: Path) -> None:
    path, times = tmp_path / "pairs.jsonl", iter(range(9))
    assert continued(path, 2, "", lambda: {"at": next(times)}, {"threads": 2}) == [{"at": 0}, {"at": 1}]
    assert continued(path, 3, "", lambda: {"at": next(times)}, {"threads": 2}) == [{"at": 0}, {"at": 1}, {"at": 2}]
    # What was timed otherwise is no part of the same figure.
    assert continued(path, 1, "", lambda: {"at": next(times)}, {"threads": 1}) == [{"at": 3}]


def test_a_newcomer_types_what_the_readme_says() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert "make demo " in readme
    assert [step.shown for step in steps(quick=False)] == ["make .venv/.installed", "make demo"]
    assert steps(quick=True)[-1].shown.split()[:2] == ["sec-rl", "replay"]
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    assert "demo: $(STAMP)" in makefile
    assert "STAMP := .venv/.installed" in makefile


def test_a_step_is_timed_and_a_failed_one_shows_what_it_printed(tmp_path: Path) -> None:
    assert 0.0 < timed(Step("nothing", (sys.executable, "-c", ""), "nothing"), tmp_path, os.environ) < 60.0
    failing = Step("fails", (sys.executable, "-c", "import sys; print('no disk'); sys.exit(3)"), "a command")
    with pytest.raises(BenchmarkError, match=r"a command ended with code 3(?s:.*)no disk"):
        timed(failing, tmp_path, os.environ)
    with pytest.raises(BenchmarkError, match="cannot be started"):
        timed(Step("none", ("no-such-program",), "none"), tmp_path, os.environ)
    assert "85.0% of the test split right, 10.0 MB instead of 80.0, 6.0 times" in result_line(made_up_result())


def test_figures_are_kept_for_what_was_asked_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def measure() -> list[int]:
        made.append(len(made))
        return made

    kept = tmp_path / "new" / "kept.json"
    first = remembered(kept, {"task": "a"}, 2, measure)
    assert first == remembered(kept, {"task": "a"}, 2, measure) == [0]
    assert remembered(kept, {"task": "b"}, 2, measure) == [0, 1]
    monkeypatch.setattr("benchmarks.clock.describe_machine", lambda threads: {"cpu": "another", "threads": threads})
    assert remembered(kept, {"task": "b"}, 2, measure) == [0, 1, 2]
