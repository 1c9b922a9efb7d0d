"""The dense run that a run is compared with: trained beside it, or named; the same rows, the same passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.faults.runs import small_run
from sec_rl.agents.run import run
from sec_rl.agents.shipped import shipped_policy
from sec_rl.backends.bert import BertSession
from sec_rl.config import RunConfig
from sec_rl.errors import InputError, RunInterruptedError
from sec_rl.values import Metrics, Ratios


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Return a small run under a policy that is named."""
    asked = {"schedule": "policy", "policy": str(shipped_policy()), "perplexity": False}
    return small_run(tmp_path_factory.mktemp("parts"), seed=0, segments=4).model_copy(update=asked)


@pytest.fixture(scope="module")
def both(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a run that was interrupted while its reference trained, and went on."""
    folder = tmp_path_factory.mktemp("both") / "run"
    asked = config.model_copy(update={"dense_reference": "train"})
    with pytest.MonkeyPatch.context() as patch:
        whole = BertSession.advance

        def stop(session: BertSession, ratios: Ratios, levers: Any) -> Metrics:
            if session.config.schedule == "dense" and session._segment == 2:
                raise KeyboardInterrupt
            return whole(session, ratios, levers)

        patch.setattr(BertSession, "advance", stop)
        with pytest.raises(RunInterruptedError, match="to go on") as interrupted:
            run(asked, folder)
    said = str(interrupted.value)
    assert f"--out {folder} --resume" in said
    assert "dense-reference" not in said
    return folder, run(asked, folder, resume=True)


def test_it_is_dense_takes_no_policy_and_ends_with_its_run(both: tuple[Path, dict[str, Any]]) -> None:
    folder, result = both
    dense = json.loads((folder / "dense-reference" / "result.json").read_text())
    assert (dense["schedule"], dense["policy"], dense["compression_ratio"]) == ("dense", None, 0.0)
    assert result["dense"]["test_accuracy"] == dense["fp32"]["test_accuracy"]
    assert result["budget"] == dense["budget"]


@pytest.mark.parametrize("fault", ["rows", "passes"])
def test_another_one_is_refused(
    config: RunConfig, both: tuple[Path, dict[str, Any]], tmp_path: Path, fault: str
) -> None:
    folder = both[0] / "dense-reference"
    changes: dict[str, Any] = {"dense_reference": str(folder)}
    if fault == "passes":
        changes["passes"] = 64
        expected = "128 example passes to spend; this run has 64"
    else:
        expected = "other rows of task"
    path = Path(config.task) / "train.csv"
    before = path.read_text()
    try:
        if fault == "rows":
            pd.read_csv(path).iloc[1:].to_csv(path, index=False)
        with pytest.raises(InputError, match=expected):
            run(config.model_copy(update=changes), tmp_path / "run")
    finally:
        path.write_text(before)
