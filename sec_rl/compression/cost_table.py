"""What a block costs as a function of what is left of it: the currency in which structures are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.compression.shape import EncoderShape, LayerShape

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class CostTable:
    """Cost of attention and feed-forward blocks by width.

    The last present layer computes its first position only, hence its own curves.

    Attributes:
        attention: (dense heads + 1,) cost of an attention block with 0, 1, .. heads.
        ffn: (dense neurons + 1,) cost of a feed-forward block with 0, 1, .. neurons.
        last_attention: the same for the last present layer.
        last_ffn: the same for the last present layer.
        fixed: cost of everything that cannot be pruned (embeddings, pooler, classifier).
        unit: ``"ms"`` for a measured table at batch 32, ``"gflop"`` for the analytic one.
    """

    attention: Curve
    ffn: Curve
    last_attention: Curve
    last_ffn: Curve
    fixed: float
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """Return the table, JSON-ready."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CostTable:
        """Return the table that `to_dict` wrote."""
        arrays = {name: np.asarray(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**(dict(values) | arrays))

    def scaled(self, scale: float, fixed: float) -> CostTable:
        """Return the table with every block's cost multiplied by `scale`, and another fixed cost."""
        return CostTable(
            scale * self.attention,
            scale * self.ffn,
            scale * self.last_attention,
            scale * self.last_ffn,
            fixed,
            self.unit,
        )

    def layer_cost(self, layer: LayerShape, *, last: bool) -> float:
        """Return the cost of one layer; a dropped one costs nothing."""
        if not layer.present:
            return 0.0
        attention, ffn = (self.last_attention, self.last_ffn) if last else (self.attention, self.ffn)
        return float(attention[len(layer.heads)] + ffn[len(layer.neurons)])

    def prunable_cost(self, shape: EncoderShape) -> float:
        """Return the cost of all layers."""
        present = [i for i, layer in enumerate(shape.layers) if layer.present]
        final = present[-1] if present else -1
        return sum(self.layer_cost(layer, last=i == final) for i, layer in enumerate(shape.layers))

    def total_cost(self, shape: EncoderShape) -> float:
        """Return the cost of the whole model."""
        return self.fixed + self.prunable_cost(shape)

    def removed_share(self, shape: EncoderShape) -> float:
        """Return the compression ratio: the share of the dense encoder's prunable cost that is gone."""
        dense = EncoderShape.dense(len(shape.layers), shape.dense_heads, shape.dense_neurons)
        return 1.0 - self.prunable_cost(shape) / self.prunable_cost(dense)


def analytic_table(
    hidden: int, heads: int, neurons: int, *, batch: int = 32, length: int = 32, fixed_share: float = 0.02
) -> CostTable:
    """Count multiply-adds instead of milliseconds: the same on every machine.

    Args:
        hidden: width of the hidden state.
        heads: heads of a dense layer; `neurons`: its FFN neurons.
        batch: texts per batch; `length`: tokens per text.
        fixed_share: cost of the unprunable part as a share of one dense layer.
    """
    size, tokens = hidden // heads, batch * length
    h, n = np.arange(heads + 1), np.arange(neurons + 1)
    attention = tokens * h * size * (4 * hidden + 2 * length) * 2e-9
    last_attention = h * size * (tokens * 2 * hidden + batch * (2 * hidden + 2 * length)) * 2e-9
    ffn = tokens * n * 2 * hidden * 2e-9
    last_ffn = batch * n * 2 * hidden * 2e-9
    fixed = fixed_share * float(attention[-1] + ffn[-1])
    curves = [np.asarray(c, np.float64) for c in (attention, ffn, last_attention, last_ffn)]
    return CostTable(curves[0], curves[1], curves[2], curves[3], fixed, "gflop")


def with_bytes(table: CostTable, hidden: int, heads: int, share: float) -> CostTable:
    """Blend a cost table with the int8 bytes of each block.

    Time alone would never prune the last layer's feed-forward block, which costs no time but a tenth of the file.

    Args:
        table: costs in time; every curve is divided by the dense cost of an inner layer.
        hidden: width of the hidden state; `heads`: heads of a dense layer.
        share: weight of bytes against time, in [0, 1].
    """
    time = float(table.attention[-1] + table.ffn[-1])
    h, n = np.arange(len(table.attention)), np.arange(len(table.ffn))
    head_bytes, neuron_bytes = 4 * hidden * (hidden // heads) * h, 2 * hidden * n
    total = float(head_bytes[-1] + neuron_bytes[-1])

    def blend(curve: Curve, size: NDArray[np.int64]) -> Curve:
        blended: Curve = (1.0 - share) * curve / time + share * size / total
        return blended

    return CostTable(
        blend(table.attention, head_bytes),
        blend(table.ffn, neuron_bytes),
        blend(table.last_attention, head_bytes),
        blend(table.last_ffn, neuron_bytes),
        (1.0 - share) * table.fixed / time,
        "relative",
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
