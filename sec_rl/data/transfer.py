"""How much each depth of a pre-trained encoder moves."""

from __future__ import annotations


def layer_learning_rates(base: float, decay: float, n_layers: int) -> tuple[float, ...]:
    """Return learning rates for embeddings, layers from bottom to top, and head (Howard & Ruder 2018, sec. 3.2).

    Args:
        base: rate of the head.
        decay: rate of a layer over that of the layer above it, in (0, 1].
        n_layers: layers of the encoder.

    Returns:
        n_layers + 2 rates.
    """
    return tuple(base * decay ** (n_layers + 1 - depth) for depth in range(n_layers + 2))
