"""Which structures of an encoder are left: the one description that scoring, removal and export share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerShape:
    """What is left of one dense layer.

    Attributes:
        heads: indices of the kept attention heads, ascending, each in [0, dense heads).
        neurons: indices of the kept FFN neurons, ascending, each in [0, dense neurons).
        present: False when the whole layer is skipped; `heads` and `neurons` are then empty.
    """

    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    present: bool = True

    def __post_init__(self) -> None:
        if not self.present and (self.heads or self.neurons):
            raise ValueError("a dropped layer keeps neither heads nor neurons")


@dataclass(frozen=True)
class EncoderShape:
    """What is left of an encoder.

    Attributes:
        layers: one entry per layer of the dense encoder.
        dense_heads: heads of a dense layer.
        dense_neurons: FFN neurons of a dense layer.
    """

    layers: tuple[LayerShape, ...]
    dense_heads: int
    dense_neurons: int

    @classmethod
    def dense(cls, n_layers: int, n_heads: int, n_neurons: int) -> EncoderShape:
        """Return the shape in which nothing has been removed."""
        layer = LayerShape(tuple(range(n_heads)), tuple(range(n_neurons)))
        return cls((layer,) * n_layers, n_heads, n_neurons)

    @property
    def skipped(self) -> list[int]:
        """Indices of the layers that are skipped."""
        return [i for i, layer in enumerate(self.layers) if not layer.present]

    @property
    def is_uniform(self) -> bool:
        """Whether a stock model class can hold it: all heads and one FFN width in every present layer."""
        present = [layer for layer in self.layers if layer.present]
        widths = {len(layer.neurons) for layer in present}
        all_heads = all(len(layer.heads) == self.dense_heads for layer in present)
        return bool(present) and all_heads and len(widths) == 1 and 0 not in widths

    def counts(self) -> dict[str, Any]:
        """Return kept heads and neurons per dense layer, as trajectories and reports store them."""
        return {
            "heads": [len(layer.heads) for layer in self.layers],
            "ffn": [len(layer.neurons) for layer in self.layers],
            "dense_heads": self.dense_heads,
            "dense_ffn": self.dense_neurons,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        layers = [[list(layer.heads), list(layer.neurons), layer.present] for layer in self.layers]
        return {"layers": layers, "dense_heads": self.dense_heads, "dense_neurons": self.dense_neurons}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EncoderShape:
        """Return the shape that `to_dict` wrote."""
        layers = (LayerShape(tuple(heads), tuple(ffn), present=present) for heads, ffn, present in values["layers"])
        return cls(tuple(layers), values["dense_heads"], values["dense_neurons"])
