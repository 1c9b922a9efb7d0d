"""Timing processes: figures, failures, orphans."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sec_rl.errors import InputError
from sec_rl.measurement.blocks import time_onnx_models
from sec_rl.measurement.errors import MeasurementError
from sec_rl.measurement.latency import LatencySettings, LatencyTarget, measure_latencies, summarise
from sec_rl.measurement.latency_worker import timed_calls
from sec_rl.measurement.machine import usable_cores
from sec_rl.measurement.ratio import speedup
from sec_rl.measurement.worker import TimingWorker

pytestmark = pytest.mark.clock
QUICK = LatencySettings(
    batch_sizes=(1, 4), threads=1, rounds=3, max_rounds=3, block_seconds=0.02, warmup=1, timeout_seconds=60
)


def products(count: int, *, size: int = 256, rows: int | str = 32) -> onnx.ModelProto:
    """A chain of `count` matrix products."""
    weight = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32) / size
    names = ["x", *(f"h{index}" for index in range(count - 1)), "y"]
    nodes = [helper.make_node("MatMul", [before, "weight"], [after]) for before, after in itertools.pairwise(names)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, size])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def classifier(path: Path, *, width: int = 64, vocabulary: int = 50) -> Path:
    """A classifier whose cost grows with the square of `width`; looks ids up in `vocabulary` rows."""
    generator = np.random.default_rng(0)
    arrays = {
        "table": generator.standard_normal((vocabulary, width)).astype(np.float32),
        "square": generator.standard_normal((width, width)).astype(np.float32),
        "head": generator.standard_normal((width, 2)).astype(np.float32),
        "middle": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "square"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed", "middle"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@pytest.fixture
def load(tmp_path: Path) -> dict[str, object]:
    path = classifier(tmp_path / "model.onnx")
    return {"kind": "onnx", "path": str(path), "vocabulary": 50, "sequence_length": 16, "threads": 1}


def test_warm_up_is_not_counted_and_the_least_number_of_calls_is() -> None:
    seen: list[int] = []

    def run(argument: int) -> None:
        seen.append(argument)
        time.sleep(0.05 if len(seen) <= 2 else 0.001)

    times = timed_calls(run, 7, warmup=2, seconds=0.0, least=4, most=9)
    assert seen == [7] * 6
    assert len(times) == 4
    assert max(times) < 45
    assert len(timed_calls(run, 7, warmup=0, seconds=60.0, least=1, most=9)) == 9


def test_a_slow_turn_weighs_as_much_as_a_fast_one() -> None:
    stats = summarise([[1.0] * 1000, [10.0] * 5, [10.0] * 5])
    assert stats.p50_ms == 10.0
    assert stats.n == 1010
    assert stats.block_medians_ms == (1.0, 10.0, 10.0)


@given(st.lists(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=8), min_size=1, max_size=8))
def test_statistics_are_ordered_and_scale(blocks: list[list[float]]) -> None:
    stats = summarise(blocks)
    low, high = min(map(min, blocks)), max(map(max, blocks))
    quantiles = list(stats.quantiles().values())
    assert [low, *quantiles, high] == sorted([low, *quantiles, high])
    assert (quantiles[2], quantiles[4]) == (stats.p50_ms, stats.p95_ms)
    doubled = summarise([[2 * call for call in block] for block in blocks])
    assert doubled.p50_ms == 2 * stats.p50_ms
    assert doubled.spread == pytest.approx(stats.spread)


def test_equal_models_are_told_equal_on_a_machine_with_slow_phases() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        phase = np.where(generator.random(14) < 0.5, 1.0, 1.6)
        first, second = (summarise([[ms] for ms in phase * generator.lognormal(0.0, 0.05, 14)]) for _ in range(2))
        ratio = speedup(first, second)
        covered += ratio.low <= 1.0 <= ratio.high
        # Turns that are not paired would give intervals as wide as the phases: 1.6.
        assert ratio.high / ratio.low < 1.4
    assert covered >= 184


def test_a_speed_up_is_found_and_rounds_must_match() -> None:
    slow, fast = summarise([[3.0], [6.0], [3.3], [3.0], [6.1], [3.0], [3.1]]), summarise([[1.0], [2.0]] + [[1.0]] * 5)
    ratio = speedup(slow, fast)
    assert 3.0 <= ratio.low <= ratio.value <= ratio.high
    assert ratio.confidence >= 0.95
    with pytest.raises(InputError, match="7 rounds cannot be compared with 1"):
        speedup(slow, summarise([[1.0]]))


def test_a_wider_model_takes_longer_and_every_figure_is_there(tmp_path: Path) -> None:
    targets = [
        LatencyTarget("narrow", "onnx", str(classifier(tmp_path / "narrow.onnx", width=32)), vocabulary=50),
        LatencyTarget("wide", "onnx", str(classifier(tmp_path / "wide.onnx", width=1024)), vocabulary=50),
    ]
    result = measure_latencies(targets, QUICK)
    assert {name: set(figures) for name, figures in result.items()} == {"narrow": {1, 4}, "wide": {1, 4}}
    for figures in result.values():
        for stats in figures.values():
            assert 0 < stats.p50_ms <= stats.p95_ms
            assert stats.n >= QUICK.rounds * QUICK.least_calls
            assert len(stats.block_medians_ms) == QUICK.rounds
    assert result["wide"][4].p50_ms > 5 * result["narrow"][4].p50_ms


def test_the_vocabulary_stands_beside_the_file(tmp_path: Path) -> None:
    path = classifier(tmp_path / "model.onnx", vocabulary=5)
    target = LatencyTarget("model", "onnx", str(path))
    with pytest.raises(MeasurementError, match=r"needs a `vocabulary`.*config.json"):
        measure_latencies([target], QUICK)
    # Ids beyond the five rows would fail.
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 5}))
    assert measure_latencies([target], QUICK)["model"][1].n > 0


def test_a_model_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    good = LatencyTarget("good", "onnx", str(classifier(tmp_path / "good.onnx")), vocabulary=50)
    bad = LatencyTarget("bad", "onnx", str(tmp_path / "absent.onnx"), vocabulary=50)
    with pytest.raises(MeasurementError, match=r"bad: .*no ONNX file .*absent.onnx"):
        measure_latencies([good, bad], QUICK)
    beyond = LatencyTarget("beyond", "onnx", good.path, vocabulary=10_000)
    with pytest.raises(MeasurementError, match=r"beyond: .*out of data bounds"):
        measure_latencies([good, beyond], QUICK)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_names_must_differ(names: list[str]) -> None:
    with pytest.raises(InputError, match="all different"):
        measure_latencies([LatencyTarget(name, "onnx", "x") for name in names], QUICK)


def test_settings_refuse_nothing_to_do() -> None:
    with pytest.raises(InputError, match="rounds is 0"):
        LatencySettings(rounds=0)
    with pytest.raises(InputError, match="batch size is 0"):
        LatencySettings(batch_sizes=())


def test_a_worker_that_is_killed_is_reported_and_leaves_nothing(load: dict[str, object]) -> None:
    with TimingWorker("victim", load, timeout_seconds=60) as worker:
        worker.load()
        pid = worker.pid
        threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(MeasurementError, match="victim: the timing process died with signal 9"):
            worker.time(1, seconds=30, most=10**9)
        with pytest.raises(MeasurementError, match="victim"):
            worker.time(1, seconds=0.01)
    assert not alive(pid)


def test_a_worker_that_hangs_is_ended_after_its_time(load: dict[str, object]) -> None:
    with TimingWorker("sleeper", load, timeout_seconds=60) as worker:
        worker.load()
    with TimingWorker("sleeper", load, timeout_seconds=0.5) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        before = time.monotonic()
        with pytest.raises(MeasurementError, match=r"sleeper: no answer .* within 0.5 s"):
            worker.load()
        assert time.monotonic() - before < 5
    assert not alive(worker.pid)


def test_a_waiting_worker_uses_no_processor_time(load: dict[str, object]) -> None:
    def ticks(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    with TimingWorker("waiting", load | {"threads": 2}, timeout_seconds=60) as worker:
        worker.load()
        worker.time(32, seconds=0.2)
        before = ticks(worker.pid)
        time.sleep(1.0)
        # onnxruntime's default burns four of them, spinning after its last call.
        assert ticks(worker.pid) - before <= 1


def test_workers_follow_a_killed_parent_even_in_the_middle_of_a_call(load: dict[str, object]) -> None:
    script = (
        "import json, sys\n"
        "from sec_rl.measurement.worker import TimingWorker\n"
        "worker = TimingWorker('x', json.loads(sys.argv[1]), timeout_seconds=60)\n"
        "worker.load()\n"
        "print(worker.pid, flush=True)\n"
        "worker.time(1, seconds=120, most=10**9)\n"
    )
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(load)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert alive(pid)
        parent.kill()
    assert eventually(lambda: not alive(pid))


def test_files_of_the_working_directory_do_not_stand_in_for_libraries(
    load: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "onnxruntime", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hijacked')\n")
    monkeypatch.chdir(tmp_path)
    with TimingWorker("safe", load, timeout_seconds=60) as worker:
        worker.load()
        assert worker.time(1, seconds=0.01)


def test_pytorch_models_are_timed_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertConfig, BertModel

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(tmp_path)
    capfd.readouterr()
    targets = [
        LatencyTarget("eager", "torch", str(tmp_path), n_classes=3),
        LatencyTarget("int8", "torch-int8", str(tmp_path), n_classes=3),
    ]
    result = measure_latencies(targets, QUICK)
    assert all(result[name][batch].p50_ms > 0 for name in ("eager", "int8") for batch in (1, 4))
    # The fresh head's warning, progress bars and the int8 deprecation stay in the processes.
    assert capfd.readouterr() == ("", "")


def test_blocks_are_ordered_by_cost_within_the_budget() -> None:
    models = [products(count).SerializeToString() for count in (16, 1, 4)]
    before = time.monotonic()
    times = time_onnx_models(models, threads=1, budget_seconds=2.0)
    assert time.monotonic() - before < 6.0
    assert times.shape == (3,)
    assert times[1] < times[2] < times[0]
    assert 4 < times[0] / times[1] < 40


def test_a_busy_machine_hardly_changes_what_blocks_cost() -> None:
    models = [products(count, size=512, rows=512).SerializeToString() for count in (4, 8)]
    quiet = time_onnx_models(models, threads=1, budget_seconds=1.5)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * usable_cores())]
    try:
        times = time_onnx_models(models, threads=1, budget_seconds=3.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    # A wall clock would show a quarter of a core: four times as long.
    assert (times / quiet).max() < 2.2
    assert times[1] / times[0] == pytest.approx(2.0, rel=0.3)


def test_an_exhausted_budget_still_times_every_block_once() -> None:
    times = time_onnx_models([products(1).SerializeToString()] * 3, threads=2, budget_seconds=0.0)
    assert np.isfinite(times).all()
    assert (times > 0).all()


def test_blocks_that_cannot_be_timed() -> None:
    assert time_onnx_models([], threads=1).shape == (0,)
    with pytest.raises(MeasurementError, match="free shape"):
        time_onnx_models([products(1, rows="batch").SerializeToString()], threads=1)
    with pytest.raises(MeasurementError, match="cannot be opened"):
        time_onnx_models([b"no model"], threads=1)
    with pytest.raises(InputError, match="rounds is 0"):
        time_onnx_models([b""], threads=1, rounds=0)
