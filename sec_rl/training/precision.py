"""Number formats: bf16 autocast where the processor computes in it."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

from sec_rl.measurement.machine import supports_bf16

Precision = Literal["bf16", "fp32"]


def resolve_precision(wanted: Literal["auto", "bf16", "fp32"]) -> Precision:
    """Return the format to train in; `auto` is bf16 only where the hardware multiplies in it."""
    if wanted == "auto":
        return "bf16" if supports_bf16() else "fp32"
    return wanted


def autocast(precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Return the context in which forward passes run."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()
