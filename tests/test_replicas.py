"""Several processes that train one model: the same steps as one takes, told apart by who writes."""

from __future__ import annotations

import copy
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults.runs import difference, figures, small_run, trajectory, words_of
from benchmarks.faults.warm import Warm
from sec_rl.agents.run import run
from sec_rl.backends.bert import BertSession
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.launched import launched
from sec_rl.tasks import load_task
from sec_rl.training.replicas import ALONE, Replicas
from sec_rl.training.trainer import train_step
from sec_rl.values import Levers, Ratios

Together = Callable[..., list[tuple[int, str]]]
# The second process ends as if it had been killed, in the middle of the sixth segment.
DIES = """
import os
from sec_rl.backends import bert
_step, _taken = bert.train_step, []
def _dies(*words, **flags):
    _taken.append(1)
    if len(_taken) == 44 and os.environ["RANK"] == "1":
        os._exit(9)
    return _step(*words, **flags)
bert.train_step = _dies
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Return a run on a tiny encoder in which everything remembers."""
    return small_run(tmp_path_factory.mktemp("small"), seed=0)


@pytest.fixture(scope="module")
def together(warm: tuple[Warm, Warm], tmp_path_factory: pytest.TempPathFactory) -> Together:
    """Return what does a run as two processes, and returns their exit codes and what they said."""
    said = [tmp_path_factory.mktemp("said") / "text" for _ in warm]

    def start(config: RunConfig, folder: Path, *flags: str, before: str = "") -> list[tuple[int, str]]:
        common = _meeting()
        words = words_of(config, folder, *flags)
        runs = [
            each.start(words, text, before=before, environment=common | {"RANK": str(rank)})
            for rank, (each, text) in enumerate(zip(warm, said, strict=True))
        ]
        return [(run.wait(), _told(run.said())) for run in runs]

    return start


def _meeting() -> dict[str, str]:
    """Return the variables by which two processes meet."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return common | {"GLOO_SOCKET_IFNAME": "lo"}


def _told(said: str) -> str:
    """Leave out the warnings of the transport."""
    return "\n".join(line for line in said.splitlines() if line.startswith("sec-rl:") or "Error" in line)


@pytest.fixture(scope="module")
def whole(config: RunConfig, together: Together, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that two processes trained without interruption."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert together(config, folder) == [(0, ""), (0, "")]
    return folder


def test_two_processes_train_what_one_trains(config: RunConfig, whole: Path, tmp_path: Path) -> None:
    run(config, tmp_path / "alone")
    for ours, theirs in zip(trajectory(whole), trajectory(tmp_path / "alone"), strict=True):
        assert ours["action"] == theirs["action"]
        # Sums in another order differ in their last bits, and Adam makes more of them.
        for name in ("validation_loss", "size_ratio", "label_fraction"):
            assert ours["metrics"][name] == pytest.approx(theirs["metrics"][name], rel=2e-3), name
    result = json.loads((whole / "result.json").read_text())
    alone = figures(json.loads((tmp_path / "alone" / "result.json").read_text()))
    assert set(figures(result)) == set(alone)
    assert "2 processes trained the model together." in result["notes"]


def test_one_that_dies_ends_the_other_and_both_go_on_to_the_same_end(
    config: RunConfig, whole: Path, together: Together, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (code, said), (died, _) = together(config, folder, before=DIES)
    assert (code, died) == (2, 9)
    assert "Another process of this run is gone" in said
    assert said.endswith(f"--out {folder} --resume")
    assert together(config, folder, "--resume") == [(0, ""), (0, "")]
    assert difference(folder, whole) is None
    # A finished run is told to both, and not trained again.
    assert together(config, folder, "--resume") == [(0, ""), (0, "")]


def test_what_the_first_process_refuses_ends_the_other_in_silence(
    config: RunConfig, whole: Path, together: Together
) -> None:
    (code, said), (other, nothing) = together(config, whole)
    assert (code, other) == (2, 2)
    assert said.count("sec-rl:") == 1
    assert nothing == ""


@dataclass(frozen=True)
class _Apart(Replicas):
    """A process whose sums are added up by the test."""

    seen: list[list[torch.Tensor]] = field(default_factory=list)

    def total(self, value: float) -> float:
        return value

    def add_gradients(self, parameters: Any) -> None:
        self.seen.append([p.grad.clone() for p in parameters if p.grad is not None])


@pytest.fixture(scope="module")
def compressed(config: RunConfig) -> BertSession:
    """Return a session in which a smaller model learns from a dense one."""
    session = BertSession(config, load_task(config.task))
    session.open()
    for compression in (0.0, 0.3):
        session.advance(Ratios(data=1.0, compression=compression), Levers())
    return session


def gradients(session: BertSession, replicas: Replicas) -> list[list[torch.Tensor]]:
    """Return the gradients of a process's part of the next batch: the model's, and the language head's."""
    session = copy.deepcopy(session)
    apart = _Apart(replicas.index, replicas.count)
    train_step(
        session.model,
        session.pruning.optimizer,
        session.examples.next(Levers(), None),
        precision="fp32",
        shape=session.pruning.shape,
        importance=session.pruning.importance,
        teacher=session.teacher,
        pool=session.rows,
        distillation_weight=0.5,
        language=session.language,
        replicas=apart,
    )
    return apart.seen


@pytest.mark.parametrize("count", [2, 3, 5])
def test_parts_of_the_gradient_add_up_to_the_whole(compressed: BertSession, count: int) -> None:
    """With a teacher, hidden states and masked words; in batches of four, five processes have one too many."""
    whole = gradients(compressed, ALONE)
    parts = [gradients(compressed, Replicas(index, count)) for index in range(count)]
    # This step is one of the language head's.
    assert len(whole) == 2
    for number, expected in enumerate(whole):
        assert all(len(part[number]) == len(expected) for part in parts)
        for place, one in enumerate(expected):
            summed = torch.stack([part[number][place] for part in parts]).sum(0)
            torch.testing.assert_close(summed, one, rtol=1e-4, atol=1e-6)


@given(st.integers(1, 70), st.integers(1, 9))
def test_parts_hold_every_row_once(n_rows: int, count: int) -> None:
    parts = [Replicas(index, count).part(n_rows) for index in range(count)]
    rows = np.concatenate([rows for rows, share in parts if share])
    assert sorted(rows) == list(range(n_rows))
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    assert all(len(rows) for rows, _ in parts)


def test_launchers_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched().count == 1
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert (launched().index, launched().count, launched().here) == (3, 4, 2)
    for name, value in (("RANK", "4"), ("WORLD_SIZE", "many"), ("LOCAL_WORLD_SIZE", "0")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(InputError, match="RANK"):
                launched()


def test_a_dense_reference_cannot_be_trained_beside(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="name its folder"):
        run(config.model_copy(update={"dense_reference": "train"}), tmp_path / "run")
    assert not os.listdir(tmp_path)
