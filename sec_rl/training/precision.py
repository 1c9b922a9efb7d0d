"""Number formats: bf16 autocast where this processor computes faster in it."""

from __future__ import annotations

import contextlib
import time
from functools import lru_cache
from typing import Literal

import torch

from sec_rl.measurement.machine import supports_bf16

Precision = Literal["bf16", "fp32"]

# The product that dominates training: tokens of a batch times a feed-forward block.
_TOKENS, _HIDDEN, _NEURONS = 512, 384, 1536
_TRIES = 8
# Rounding to bf16 costs some accuracy and the casts some time: a draw goes to fp32, and noise must not decide.
_LEAST_GAIN = 1.2


def resolve_precision(wanted: Literal["auto", "bf16", "fp32"]) -> Precision:
    """Return the format to train in; `auto` is bf16 where its matrix products are clearly faster here."""
    if wanted == "auto":
        return "bf16" if supports_bf16() and bf16_gain() >= _LEAST_GAIN else "fp32"
    return wanted


@lru_cache(maxsize=1)
def bf16_gain() -> float:
    """Return how many times faster a matrix product is in bf16 than in fp32, timed once per process.

    The instruction set does not tell: `avx512_bf16` was 2.7 times faster than fp32 on one server and half as fast on
    another.
    """
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(_TOKENS, _HIDDEN, generator=generator)
    right = torch.randn(_HIDDEN, _NEURONS, generator=generator)
    operands = {dtype: (left.to(dtype), right.to(dtype)) for dtype in (torch.float32, torch.bfloat16)}
    fastest = dict.fromkeys(operands, float("inf"))
    threads = torch.get_num_threads()
    # On one thread: where a neighbour keeps a core busy, threads that wait for each other measure the neighbour.
    torch.set_num_threads(1)
    try:
        # Taking turns, so that a busy moment slows both; the first turn warms up and seldom is the fastest.
        for _ in range(_TRIES):
            for dtype, (a, b) in operands.items():
                started = time.perf_counter()
                torch.matmul(a, b)
                fastest[dtype] = min(fastest[dtype], time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return fastest[torch.float32] / fastest[torch.bfloat16]


def autocast(precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Return the context in which forward passes run."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()
