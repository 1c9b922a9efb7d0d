"""Curves in a tracker, where one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sec_rl.trackers import Tracking


def open_tracking(tracker: str | None, out: Path) -> Tracking | None:
    """Return the tracker of that name, which draws in `out`; None: none was asked for.

    Raises:
        InputError: the name is unknown, or its package is not installed.
    """
    if tracker is None:
        return None
    from sec_rl.trackers import Tracking

    return Tracking(tracker, out)
