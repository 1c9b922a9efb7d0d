"""Progress on a terminal: a bar below the lines, at each of the three levels; none anywhere else."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sec_rl.agents.collect import Recorded
from sec_rl.agents.training_folder import Progress
from sec_rl.cli.printing import CollectionPrinter, RunPrinter, TrainingPrinter
from sec_rl.values import Metrics

Job = Callable[..., None]
_FIGURES: dict[str, Any] = dict.fromkeys(("labels_bought", "example_passes"), 0)
_FIGURES |= dict.fromkeys(("label_fraction", "passes_fraction", "size_ratio", "latency_ratio"), 0.5)
_FIGURES |= dict.fromkeys(("validation_accuracy", "validation_macro_f1", "validation_loss"), 0.75)
METRICS = Metrics("measured", 0, 4, 2, data_ratio=0.3, compression_ratio=0.25, seconds=60.0, **_FIGURES)
PROGRESS = Progress(0, 4_000_000, 1.0, 60_000.0, None, 0.5, 0.01, 0.0, 0.02, improved=True)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    """Put a terminal in the place of standard output; in the test itself, for pytest captures anew before each."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    shown = _Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    return shown


def _run(*, quiet: bool = False) -> None:
    with RunPrinter(quiet=quiet) as printer:
        for segment in range(5):
            printer.segment(replace(METRICS, segment=segment), {})


def _collect(*, quiet: bool = False) -> None:
    with CollectionPrinter(quiet=quiet) as printer:
        for done in (1, 2):
            printer.episode(Recorded(done, 2, "questions-0000", 0.8, 3700.0 * (2 - done)))


def _train(*, quiet: bool = False) -> None:
    with TrainingPrinter(quiet=quiet) as printer:
        printer.progress(PROGRESS)
        printer.progress(replace(PROGRESS, steps=1_000_000, seconds_left=75.0))


LEVELS = [
    pytest.param(_run, ("training", "0/4 segments", "-:--:-- left", "3/4 segments", "0:00:00 left"), id="segments"),
    pytest.param(_collect, ("recording", "1/2 episodes", "1:01:40 left"), id="episodes"),
    pytest.param(_train, ("learning", "0/4,000,000 steps", "1,000,000/4,000,000 steps", "0:01:15 left"), id="steps"),
]


@pytest.mark.parametrize(("job", "expected"), LEVELS)
def test_a_terminal_shows_a_bar_with_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, job: Job, expected: tuple[str, ...]
) -> None:
    terminal = on_a_terminal(monkeypatch)
    job()
    raw = terminal.getvalue()
    assert "━" in raw
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
    for words in expected:
        assert words in text
    # The cursor is there again, the last bar is taken away, and standard output is what it was.
    assert raw.rindex("\x1b[?25h") > raw.rindex("━")
    assert "\x1b[2K" in raw[raw.rindex("\x1b[?25h") :]
    assert sys.stdout is terminal


@pytest.mark.parametrize("job", [_run, _collect, _train])
def test_elsewhere_there_are_plain_lines_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    # Continuous integration says so for the sake of colours.
    monkeypatch.setenv("FORCE_COLOR", "1")
    job()
    printed = capsys.readouterr().out
    assert printed.count("\n") >= 2
    assert not set("━\r\x1b") & set(printed)


@pytest.mark.parametrize("job", [_run, _collect, _train])
def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    terminal = on_a_terminal(monkeypatch)
    job(quiet=True)
    assert terminal.getvalue() == ""


def test_an_interrupt_takes_the_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with contextlib.suppress(KeyboardInterrupt), RunPrinter(quiet=False) as printer:
        printer.segment(METRICS, {})
        raise KeyboardInterrupt
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("━")


def test_a_resumed_run_knows_its_pace_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """It begins in the middle; a minute for three segments makes twenty seconds for the fourth."""
    with RunPrinter(quiet=False) as printer:
        printer.segment(replace(METRICS, segment=3), {})
    assert "20 s left" in capsys.readouterr().out
