"""Faults that are really injected: numbers that are none, full disks, damaged states, folders that are taken."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.faults.bad_rows import plant_leaks
from benchmarks.faults.damage import HARMS, damage
from benchmarks.faults.layouts import misspell_keys
from benchmarks.faults.poisons import POISONS, poisoned
from benchmarks.faults.runs import small_run
from benchmarks.faults.saving import full_disks, kills
from benchmarks.faults.starts import killed_holders, simultaneous_starts
from sec_rl.agents.artefact_latency import MeasuredLatency
from sec_rl.agents.checkpoint import has_state, load_state, save_state
from sec_rl.agents.collect import collect
from sec_rl.agents.run import run
from sec_rl.backends.bert import BertSession
from sec_rl.cli import main
from sec_rl.config import RunConfig
from sec_rl.errors import DiskError, InputError, OutOfMemoryError, RunFolderError
from sec_rl.files import hold_folder, write_bytes
from sec_rl.tasks import load_task
from sec_rl.training.divergence import MOST_SETBACKS, TrainingDivergedError
from sec_rl.values import Levers, Ratios


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A real run of a tiny encoder."""
    return small_run(tmp_path_factory.mktemp("small"), seed=0).model_copy(update={"perplexity": False})


@pytest.mark.parametrize("name", POISONS)
def test_what_is_no_number_is_taken_back_within_the_step(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    session = BertSession(config, load_task(config.task))
    session.open()
    session.advance(Ratios(0.5, 0.0), Levers())
    before = {key: value.clone() for key, value in session.model.state_dict().items()}
    passes, rates = session.passes_done, []
    sound = session._start_again

    def start_again(*args: Any) -> None:
        moved = session.model.state_dict()
        assert not all(torch.equal(moved[key], value) for key, value in before.items())
        assert all(torch.isfinite(value).all() for value in moved.values())
        sound(*args)
        assert all(torch.equal(session.model.state_dict()[key], value) for key, value in before.items())
        rates.append(session.setbacks.rate_scale)

    monkeypatch.setattr(session, "_start_again", start_again)
    # The third step of the segment: two have moved the model by then.
    with poisoned(POISONS[name], lambda step: step == 3):
        metrics = session.advance(Ratios(0.5, 0.0), Levers())
    assert rates == [0.5]
    (found,) = session.setbacks.of(2)
    assert found["example_passes"] == passes + 2 * config.batch_size
    assert metrics.example_passes == 2 * passes
    assert np.isfinite(metrics.validation_loss)
    assert all(torch.isfinite(value).all() for value in session.model.state_dict().values())
    assert session.setbacks.of(1) == []
    # What a checkpoint holds of it.
    other = BertSession(config, load_task(config.task))
    other.open()
    other.resume(session.state())
    assert other.setbacks == session.setbacks


def test_setbacks_are_reported_and_too_many_end_the_run(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock takes processes of its own, and is not what this is about.
    times = {f"batch{n}": {"p50": 1.0, "p95": 1.0} for n in (1, 32)}
    quantiles = {name: {batch: {"p50": 1.0} for batch in times} for name in ("artefact", "dense")}
    clock = MeasuredLatency(times, times, quantiles, {"artefact": 0.0})
    monkeypatch.setattr("sec_rl.agents.run.measure_artefact", lambda *_: clock)
    with poisoned(POISONS["logits"], lambda step: step in (20, 50)):
        result = run(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "trajectory.jsonl").read_text().splitlines()]
    assert [len(line["setbacks"]) for line in lines if line["setbacks"]] == [1, 1]
    assert [each["rate_scale"] for each in result["setbacks"]] == [0.5, 0.25]
    assert sum("diverged and went on from its start" in note for note in result["notes"]) == 2
    with (
        poisoned(POISONS["logits"], lambda step: step >= 20) as steps,
        pytest.raises(TrainingDivergedError, match=r"became nan.*the run gave up") as stopped,
    ):
        run(config, tmp_path / "lost")
    assert steps[0] == 20 + MOST_SETBACKS
    assert "\n" not in str(stopped.value)
    assert (tmp_path / "lost" / "failure.txt").read_text().strip() == str(stopped.value)
    assert not (tmp_path / "lost" / "result.json").exists()
    # It may have been the machine: it can be tried again, and is no failure then.
    assert run(config, tmp_path / "lost", resume=True)["setbacks"] == []
    assert not (tmp_path / "lost" / "failure.txt").exists()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")],
)
def test_memory_that_runs_out_is_one_line_that_names_the_setting(
    config: RunConfig, tmp_path: Path, error: Exception
) -> None:
    def starve(metrics: Any, _structure: Any) -> None:
        if metrics.segment == 1:
            raise error

    with pytest.raises(OutOfMemoryError, match=r"after segment 1 of .*--batch-size.*--resume") as stopped:
        run(config, tmp_path / "run", on_segment=starve)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "run" / "result.json").exists()


def test_other_errors_are_not_taken_for_it(config: RunConfig, tmp_path: Path) -> None:
    def fail(_metrics: Any, _structure: Any) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(config, tmp_path / "run", on_segment=fail)


@pytest.mark.parametrize("name", ["max_length", "latency_sequence_length"])
def test_texts_longer_than_the_encoder_reads_are_refused(name: str, config: RunConfig, tmp_path: Path) -> None:
    flag = name.replace("_", "-")
    with pytest.raises(InputError, match=rf"--{flag} is 512; encoder .* reads \d+ tokens at most"):
        run(config.model_copy(update={name: 512}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    row = simultaneous_starts(1, tmp_path)
    assert (row.injected, row.lost, row.corrupted) == (1, 0, 0)
    assert killed_holders(2, tmp_path).lost == 0


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--task", "sms-spam"],
        ["replay", "--task", "sms-spam"],
        ["collect", "--task", "sms-spam"],
        ["train"],
    ],
    ids=lambda words: words[0],
)
def test_the_second_process_stops_in_one_line_before_it_loads_anything(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sec_rl.agents.run.configured_task", lambda *_: pytest.fail("a task was loaded"))
    monkeypatch.setattr("sec_rl.agents.collect.measure_table", lambda *_: pytest.fail("a table was measured"))
    monkeypatch.setattr("sec_rl.agents.train.tune_schedules", lambda *_, **__: pytest.fail("something was tuned"))
    monkeypatch.setattr("sys.argv", ["sec-rl", *words, "--out", str(tmp_path / "held")])
    with hold_folder(tmp_path / "held", "Folder"), pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.count("\n") == 1
    assert "in use by another process" in said
    assert list(tmp_path.iterdir()) == []


def test_a_lock_leaves_no_trace_of_a_folder_that_never_came(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "a" / "b" / "c", "Folder"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_foreign_folders_are_left_alone(tmp_path: Path, config: RunConfig) -> None:
    (tmp_path / "config.toml").write_text('[tool]\nname = "somebody else"\n')
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="no run folder"):
        run(config, tmp_path, overwrite=True)
    with pytest.raises(RunFolderError, match="no recorded episodes"):
        collect(["sms-spam"], 1, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "notes.txt"]


def test_killed_savers_leave_whole_states(tmp_path: Path) -> None:
    for row in kills(10, tmp_path, seed=1):
        assert (row.lost, row.corrupted, row.problems) == (0, 0, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_a_save(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[int] = []

    def stop(signalled: int, _frame: object) -> None:
        came.append(signalled)
        raise KeyboardInterrupt

    before = signal.signal(number, stop)

    def write_and_ask_to_stop(*args: Any) -> None:
        signal.raise_signal(number)
        write_bytes(*args)

    monkeypatch.setattr("sec_rl.agents.sealed.write_bytes", write_and_ask_to_stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, 1, {"number": 1})
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert came == [number]
    assert load_state(tmp_path) == {"number": 1}


def test_a_full_disk_keeps_the_old_state_and_is_named(tmp_path: Path) -> None:
    row = full_disks(6, tmp_path)
    assert (row.injected, row.lost, row.corrupted, row.problems) == (6, 0, 0, [])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"nowhere/x' cannot be written: No such file or directory; it takes 3 bytes"):
        write_bytes(tmp_path / "nowhere" / "x", b"abc")


@pytest.mark.parametrize("name", HARMS)
def test_damage_is_noticed(tmp_path: Path, name: str) -> None:
    row = damage(name, 18, tmp_path, seed=2)
    assert (row.injected, row.lost, row.corrupted) == (18, 0, 0)


def test_the_state_that_is_passed_over_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        save_state(tmp_path, number, {"a": np.arange(4), "number": number})
    (tmp_path / "state-000000000002.json").unlink()
    assert load_state(tmp_path)["number"] == 1
    assert "state-000000000002.json' is missing, or no file. Going on from the state before it." in caplog.text
    # Tensors without a card are a save that was cut short; alone they are no state.
    (tmp_path / "state-000000000001.json").unlink()
    assert not has_state(tmp_path)


def test_every_misspelt_key_is_refused_and_most_are_recognised(tmp_path: Path) -> None:
    row = misspell_keys(tmp_path)
    assert row.injected > 30
    assert (row.lost, row.corrupted, row.problems) == (0, 0, [])


def test_a_planted_leak_is_found(tmp_path: Path) -> None:
    copies, near = plant_leaks(1, tmp_path, seed=0)
    assert (copies.injected, copies.lost) == (20, 0)
    assert (near.injected, near.lost) == (20, 0)
