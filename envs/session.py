"""What a backend must offer: the contract that real training and the simulator share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from sec_rl.values import Forecast, Levers, Metrics, Ratios


class Steered(Protocol):
    """One controlled run between two segments; who trains the segments is left open."""

    def rollback(self) -> Metrics:
        """Put the model back to where it was before the last segment, and return the metrics after that.

        Weights, structure and optimizer state return; passes, labels bought and the segment itself stay spent.
        """

    def forecast(self, compression: float) -> Forecast:
        """Predict size and latency at a compression ratio in [0, 1), without changing anything."""

    def structure(self) -> dict[str, Any]:
        """Return what is left: `{"heads": [..per dense layer], "ffn": [..], "dense_heads": n, "dense_ffn": n}`.

        A dropped layer counts 0 heads and 0 neurons.
        """


@runtime_checkable
class Session(Steered, Protocol):
    """One controlled run, driven from outside segment by segment.

    Order of calls: `open` once, `advance` once per segment, `close` once. `advance` after the last segment
    raises `InputError`.
    """

    def open(self) -> Metrics:
        """Load everything, measure the dense model, and return the metrics of segment 0."""

    def advance(self, ratios: Ratios, levers: Levers) -> Metrics:
        """Realise `ratios` with `levers`, train one segment, and return the metrics after it."""


@dataclass(frozen=True)
class OpenedSession:
    """A session that is ready for its first segment.

    Attributes:
        session: the run; where it is a `Session`, a drive can train its segments as well.
        metrics: of segment 0.
        reference_accuracy: validation accuracy, in [0, 1], that the utility counts gains and losses from.
        format_speedup: dense fp32 latency over that of the dense model in the artefact's format, above 0; 1 where
            it is not known.
    """

    session: Steered
    metrics: Metrics
    reference_accuracy: float
    format_speedup: float = 1.0
