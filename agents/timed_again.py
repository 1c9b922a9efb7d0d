"""A speed-up to reach is steered by the clock, and a machine's speed changes: when a run looks at it again."""

from __future__ import annotations

from typing import Protocol

from sec_rl.envs.drive import Drive
from sec_rl.measurement.ratio import QuietTimes
from sec_rl.values import Metrics

# Shares of a run after which the machine is timed again, where there is a target. Before most structures go; and when
# they have gone, just before `sec_rl.envs.action.LANDING`: the first time, what is timed is the structure that the
# target stood for until then, and the one that it turns out to stand for can be a good deal smaller.
TIMED_AGAIN_AT = (0.4, 0.7)


class Scale(Protocol):
    """Fits the session's table to the clock: `sec_rl.agents.latency_scale.scale_latency`, its settings filled in."""

    def __call__(self, *, ratio: float, known: QuietTimes | None = None, fp32_again: bool = False) -> QuietTimes:
        """Return what the dense model takes, by what is known and what was found now."""


def time_again(drive: Drive, metrics: Metrics, known: QuietTimes, scale: Scale) -> QuietTimes:
    """Time the machine where it is due, and let the drive steer by what was found.

    What a target needs is read off the very structure that it stands for now. Dense fp32, which takes most of the
    time, is timed in the last of these only.

    Args:
        drive: has a speed-up to reach; between two segments.
        metrics: of the segment that ended.
        known: what the dense model took so far. The machine may have no quiet moment just now, and have had one
            before.
        scale: times it.

    Returns:
        what it takes by all that is known now; `known` where nothing is due.
    """
    due = {max(1, round(share * metrics.n_segments)) for share in TIMED_AGAIN_AT}
    # The goal is searched for: only where it is due.
    if metrics.segment not in due or (goal := drive.goal()) is None:
        return known
    found = scale(ratio=goal, known=known, fp32_again=metrics.segment == max(due))
    drive.time_again(found.speedup)
    return found
