"""A mean over seeds with its interval, and whether it meets a criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from sec_rl.errors import InputError


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % percentile-bootstrap interval over seeds.

    With three seeds the interval is little more than their range: it shows scatter, it proves nothing.

    Attributes:
        mean: of the values.
        low: lower end; None with a single value.
        high: upper end; None with a single value.
        values: one per seed.
    """

    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]

    def text(self, digits: int = 2) -> str:
        """Return `mean [low, high]`."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def times(self, factor: float) -> Estimate:
        """Return the estimate in another unit; `factor` is above 0."""
        low, high = (None if end is None else factor * end for end in (self.low, self.high))
        return Estimate(factor * self.mean, low, high, tuple(factor * value for value in self.values))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "values": list(self.values)}


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean over seeds and its interval.

    Raises:
        InputError: there is no value.
    """
    if not values:
        raise InputError("There is no value to take the mean of.")
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if len(numbers) == 1:
        return Estimate(mean, None, None, (mean,))
    found = stats.bootstrap((numbers,), np.mean, method="percentile", n_resamples=9_999, rng=np.random.default_rng(0))
    interval = found.confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), tuple(map(float, numbers)))


@dataclass(frozen=True)
class Criterion:
    """A limit that the mean of an estimate has to keep.

    Attributes:
        name: what is limited, with its unit.
        estimate: what was measured.
        bound: `at most` or `at least`.
        limit: the limit.
    """

    name: str
    estimate: Estimate
    bound: Literal["at most", "at least"]
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the mean keeps the limit."""
        # The mean of three times 0.1 is a little above 0.1.
        slack = 1e-9 * max(1.0, abs(self.limit))
        if self.bound == "at most":
            return self.estimate.mean <= self.limit + slack
        return self.estimate.mean >= self.limit - slack

    def line(self) -> str:
        """Return one line: verdict, name, figure, limit."""
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.name}: {self.estimate.text(3)} ({self.bound} {self.limit:g})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "name": self.name,
            "bound": self.bound,
            "limit": self.limit,
            "passed": self.passed,
            **self.estimate.to_dict(),
        }
