"""The seam behind which trackers are swapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """Takes numbers as they come."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve that is named.

        Args:
            step: at least 0; rises from call to call.
            values: finite numbers by name; `/` groups names.
        """

    def finish(self, summary: Mapping[str, float]) -> None:
        """Write what the end is judged by, and close; nothing is logged afterwards."""
