"""What `docs/behaviours.md` promises and no other test holds; and that the tests it names are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sec_rl
from sec_rl.cli.printing import RunPrinter
from sec_rl.report.run_page import write_report
from sec_rl.values import Metrics
from tests.made_up_runs import made_up_run
from tests.test_cli import VERBS

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "behaviours.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there() -> None:
    rows = [line for line in TABLE.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) >= 20
    for row in rows:
        files = set(re.findall(r"`(?:tests/)?((?:test_\w+|conftest)\.py)`", row))
        text = "".join((ROOT / "tests" / name).read_text(encoding="utf-8") for name in files)
        for test in re.findall(r"`(test_\w+)`", row):
            assert f"def {test}(" in text, test


def _metrics(segment: int) -> Metrics:
    values: dict[str, Any] = dict.fromkeys(("labels_bought", "example_passes"), 0)
    values |= dict.fromkeys(("label_fraction", "passes_fraction", "size_ratio", "latency_ratio", "seconds"), 0.5)
    values |= dict.fromkeys(("validation_accuracy", "validation_macro_f1", "validation_loss"), 0.75)
    return Metrics("measured", segment, 2, 2, data_ratio=0.3, compression_ratio=0.25, **values)


def test_progress_is_one_plain_line_per_segment(capsys: pytest.CaptureFixture[str]) -> None:
    printer = RunPrinter(quiet=False)
    for segment in range(3):
        printer.segment(_metrics(segment), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["opened:", "segment", "segment", "closing:"]
    for expected in ("1/2", "data  30%", "removed  25%", "accuracy 75.0%", "size 0.500", "s left"):
        assert expected in lines[1]
    assert "\x1b" not in "".join(lines)
    quiet = RunPrinter(quiet=True)
    quiet.segment(_metrics(1), {})
    assert capsys.readouterr().out == ""


def test_every_report_says_what_it_was_made_with(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    page = write_report(folder).read_text(encoding="utf-8")
    for expected in ("a processor, 2 threads", "sec_rl 0.1.0", "seed 0"):
        assert expected in page


def test_python_does_what_the_commands_do(tmp_path: Path) -> None:
    as_functions = {"predict": "Classifier", "tasks": "load_task"}
    assert {as_functions.get(verb, verb) for verb in VERBS} <= set(sec_rl.__all__)
    folder = made_up_run(tmp_path / "run")
    results = sec_rl.compare([folder], out=tmp_path / "comparison.html")
    assert "Runs side by side" in (tmp_path / "comparison.html").read_text(encoding="utf-8")
    table = pd.json_normalize(list(results.values()))
    assert table["latency_ms.batch32.p50"].tolist() == [10.0]
    segments = pd.read_json(folder / "trajectory.jsonl", lines=True)
    assert segments["segment"].tolist() == [0, 1, 2, 3, 4]
