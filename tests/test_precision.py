"""The number format of training follows the clock, not the list of instructions."""

from __future__ import annotations

import pytest
import torch

from sec_rl.training import precision


@pytest.mark.parametrize(
    ("has_it", "gain", "expected"), [(True, 2.7, "bf16"), (True, 0.5, "fp32"), (False, 9.0, "fp32")]
)
def test_auto_takes_bf16_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, expected: str, *, has_it: bool
) -> None:
    monkeypatch.setattr(precision, "supports_bf16", lambda: has_it)
    monkeypatch.setattr(precision, "bf16_gain", lambda: gain)
    assert precision.resolve_precision("auto") == expected
    assert precision.resolve_precision("bf16") == "bf16"
    assert precision.resolve_precision("fp32") == "fp32"


def test_timing_leaves_the_process_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    precision.bf16_gain.cache_clear()
    assert precision.bf16_gain() > 0.0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
