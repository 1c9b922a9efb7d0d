"""What a backend must offer: the contract that real training and the simulator share."""

from __future__ import annotations

from typing import Any, Protocol

from sec_rl.values import Levers, Metrics, Ratios


class Session(Protocol):
    """One controlled run, driven from outside segment by segment.

    Order of calls: `open` once, `advance` once per segment, `close` once. `advance` after the last segment
    raises `InputError`.
    """

    def open(self) -> Metrics:
        """Load everything, measure the dense model, and return the metrics of segment 0."""

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        """Realise `ratios` with `levers`, train one segment, and return the metrics after it."""

    def structure(self) -> dict[str, Any]:
        """Return what is left: `{"heads": [..per dense layer], "ffn": [..], "dense_heads": n, "dense_ffn": n}`.

        A dropped layer counts 0 heads and 0 neurons.
        """
