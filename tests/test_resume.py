"""A run that is killed goes on to the same trajectory and the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.faults.runs import difference, segments_done, trajectory, words_of
from benchmarks.faults.warm import Warm, WarmRun
from sec_rl.agents import run_state
from sec_rl.agents.run import run
from sec_rl.config import PruningConfig, RunConfig
from sec_rl.errors import InputError, RunFolderError, RunInterruptedError
from sec_rl.run_folder import write_config
from sec_rl.tasks import load_task
from sec_rl.values import Levers

# Everything that remembers is in it: purchases, pseudo-labels, copies, teacher, language head, pruning.
SETTINGS = RunConfig(
    task="a folder",
    schedule="cubic",
    compression_ratio=0.5,
    data_ratio=0.1,
    passes=288,
    n_segments=6,
    batch_size=16,
    max_length=32,
    seed=3,
    validation_rows=60,
    latency_rounds=1,
    levers=Levers(augmentation_share=0.3, pseudo_label_share=0.2),
    pseudo_label_threshold=0.5,
    perplexity=True,
    pruning=PruningConfig(cost="flops"),
    threads=1,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Return the run on a small cut of a packaged task."""
    folder, task = tmp_path_factory.mktemp("task"), load_task("sms-spam")
    for name, size in (("train", 300), ("validation", 60), ("test", 60)):
        split = getattr(task, name)
        table = {"text": split.texts[:size], "label": [task.label_names[i] for i in split.labels[:size]]}
        pd.DataFrame(table).to_csv(folder / f"{name}.csv", index=False)
    return SETTINGS.model_copy(update={"task": str(folder)})


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, run(config, folder)


def wait_for_segment(folder: Path, segment: int, process: WarmRun) -> None:
    """Wait until a segment is on disk."""
    end = time.monotonic() + 120.0
    while segments_done(folder) <= segment:
        assert process.poll() is None, process.said()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_twice_and_resumed_it_ends_the_same(
    config: RunConfig, whole: tuple[Path, dict[str, Any]], tmp_path: Path, warm: tuple[Warm, Warm]
) -> None:
    folder = tmp_path / "run"
    for segment, flags in ((2, ()), (4, ("--resume",))):
        process = warm[0].start(words_of(config, folder, *flags), tmp_path / "said")
        wait_for_segment(folder, segment, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    result = run(config, folder, resume=True)
    assert difference(folder, whole[0]) is None
    assert any("resumed after segment" in note for note in result["notes"])
    assert not (folder / run_state.CHECKPOINTS).exists()


def test_sigterm_says_how_to_go_on(config: RunConfig, tmp_path: Path, warm: tuple[Warm, Warm]) -> None:
    folder = tmp_path / "run"
    process = warm[0].start(words_of(config, folder), tmp_path / "said")
    wait_for_segment(folder, 2, process)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 130
    assert time.monotonic() - asked < 10.0
    assert f"sec-rl run --config {folder}/config.toml --out {folder} --resume" in process.said().splitlines()[-1]
    assert run_state.check_config(folder, config)["passes"] == 288
    assert run_state.saved_state(folder) is not None


def test_a_damaged_state_is_passed_over(
    config: RunConfig, whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_state, "SAVE_SECONDS", 0.0)
    folder, seen = tmp_path / "run", []

    def stop(metrics: Any, _structure: Any) -> None:
        seen.append(metrics.segment)
        if metrics.segment == 4:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match=r"after segment 4 of 6; to go on: sec-rl run"):
        run(config, folder, on_segment=stop)
    newest = max((folder / run_state.CHECKPOINTS).glob("*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    result = run(config, folder, resume=True)
    assert any("after segment 2" in note for note in result["notes"])
    assert trajectory(folder) == trajectory(whole[0])


def test_a_finished_run_is_returned_as_it_is(config: RunConfig, whole: tuple[Path, dict[str, Any]]) -> None:
    before = os.stat(whole[0] / "result.json").st_mtime_ns
    assert run(config, whole[0], resume=True) == json.loads((whole[0] / "result.json").read_text())
    assert os.stat(whole[0] / "result.json").st_mtime_ns == before


def test_what_cannot_be_resumed(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run to resume"):
        run(config, tmp_path / "none", resume=True)
    folder = tmp_path / "other"
    folder.mkdir()
    write_config(folder, config.model_dump() | {"resolved": {}})
    changed = config.model_copy(update={"n_segments": 12, "learning_rate": 1e-3})
    with pytest.raises(InputError, match=r"n-segments 6 -> 12; learning-rate 0.00015 -> 0.001"):
        run(changed, folder, resume=True)
    (folder / "config.toml").write_text("seed = ")
    with pytest.raises(RunFolderError, match="not the configuration of a run"):
        run(config, folder, resume=True)
