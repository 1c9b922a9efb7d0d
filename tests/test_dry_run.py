"""A dry run says what a run would take, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from sec_rl.agents.dry_run import dry_run
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from tests.test_cli import Call, call

__all__ = ["call"]


def test_the_command_prints_it_and_writes_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, _ = call("replay", "sms-spam", "--passes", "650", "--threads", "1", "--dry-run")
    assert code == 0
    assert "task sms-spam: 2 classes" in printed
    assert "650 example passes in 16 segments, 41 steps" in printed
    assert "min on 1 thread," in printed
    assert "nothing was written" in printed
    assert list(tmp_path.iterdir()) == []


def test_twice_the_passes_take_twice_the_training_and_no_more_disk() -> None:
    """The rate is measured anew each time, so the two differ by the clock's noise, too."""
    settings = {"task": "sms-spam", "threads": 1, "schedule": "dense", "validation_rows": 50}
    one, two = (dry_run(RunConfig(passes=passes, **settings)) for passes in (800, 80_000))  # type: ignore[arg-type]
    assert two.steps == 100 * one.steps
    assert 25.0 < two.train_seconds / one.train_seconds < 400.0
    assert one.disk_bytes > one.kept_bytes > 90e6
    assert two.disk_bytes == one.disk_bytes


def test_what_cannot_be_used_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policy\.json"):
        dry_run(RunConfig(task="sms-spam", schedule="policy", policy=str(tmp_path)))
