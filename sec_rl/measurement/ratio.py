"""How many times faster one model is than another, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from sec_rl.errors import InputError
from sec_rl.measurement.latency import LatencyStats

# Largest share by which two quiet times of one model differ while the machine does have quiet moments.
SAME_QUIET = 0.3


@dataclass(frozen=True)
class Speedup:
    """A ratio of latencies.

    Attributes:
        value: median over the rounds of reference over other; above 1 the other is faster.
        low: lower end of an interval for that median.
        high: upper end.
        confidence: chance that such an interval holds the median, at least 0.95 from six rounds on.
    """

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class QuietTimes:
    """What a dense model takes in two formats while nothing else runs beside it, in ms.

    Where two virtual cores come to share a physical one, int8 loses more than fp32 does: a ratio of medians says as
    much about that as about the models. The fastest twentieth of the calls does not, as long as the cores were apart
    for a part of the time.

    Attributes:
        fp32: of the model in fp32.
        int8: of the model in int8.
    """

    fp32: float
    int8: float

    @property
    def speedup(self) -> float:
        """How many times faster int8 is."""
        return self.fp32 / self.int8

    def with_another(self, other: QuietTimes) -> QuietTimes:
        """Return what two timings of both models together say.

        Quiet times of one model differ by a tenth from one quarter of an hour to the next, and those of the other
        model with them: the mean is the better guess, and times of one timing stay together. Where a model's differ
        by more than `SAME_QUIET` of the lower one, the machine had no quiet moment in the slower timing, which then
        counts for nothing.
        """
        if max(_apart(self.fp32, other.fp32), _apart(self.int8, other.int8)) > SAME_QUIET:
            return min(self, other, key=lambda times: times.fp32 * times.int8)
        return QuietTimes((self.fp32 + other.fp32) / 2.0, (self.int8 + other.int8) / 2.0)


def speedup(reference: LatencyStats, other: LatencyStats) -> Speedup:
    """Compare two models that were timed in the same call of `measure_latencies`.

    Turns of the same round stand side by side in time, so a slow minute of the machine cancels in their
    ratio. The interval is that of the sign test (Conover 1999, section 3.2): order statistics, no
    assumption on the noise.

    Raises:
        InputError: the two had different numbers of rounds.
    """
    first, second = reference.block_medians_ms, other.block_medians_ms
    if len(first) != len(second):
        raise InputError(f"{len(first)} rounds cannot be compared with {len(second)}; time both together.")
    ratios = np.sort(np.array(first) / np.array(second))
    n = len(ratios)
    skipped = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)
    confidence = 1.0 - 2.0 * float(binom.cdf(skipped, n, 0.5))
    return Speedup(float(np.median(ratios)), float(ratios[skipped]), float(ratios[n - 1 - skipped]), confidence)


def _apart(first: float, second: float) -> float:
    low, high = sorted((first, second))
    return high / low - 1.0
