"""What can go wrong while measuring."""

from __future__ import annotations

from sec_rl.errors import SecRlError


class MeasurementError(SecRlError):
    """A model could not be measured: it does not load, or its process died or hangs."""
