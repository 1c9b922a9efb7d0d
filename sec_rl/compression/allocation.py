"""Which structures go: whole layers where that loses less than narrower blocks everywhere, then widths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sec_rl.compression.cost_table import CostTable
from sec_rl.compression.importance import ImportanceTracker
from sec_rl.compression.shape import EncoderShape, LayerShape
from sec_rl.compression.widths import at_least, choose_widths

Array = NDArray[np.float64]
# Costs that differ by less, relatively, are the same.
_SAME_COST = 1e-9
# What may be left of a budget: where blocks are coarse, or narrow already, a skipped layer can leave a lot.
_LITTLE = 0.05
# A skipped layer loses as much as one that kept this share of its importance: what comes in goes on past it, so it
# loses less than emptied blocks do. Of the 6 layers of the default encoder the last goes at a ratio of about a half.
_SKIPPED_SHARE = 0.1
_SKIPPED, _EMPTY = LayerShape((), (), present=False), LayerShape((), ())


@dataclass(frozen=True)
class _Choice:
    """A shape.

    `excess`: its cost beyond the budget; `unspent`: what it leaves of the budget beyond a little; both at least 0.
    `lost`: the importance that it goes without.
    """

    shape: EncoderShape
    excess: float
    unspent: float
    lost: float

    @property
    def rank(self) -> tuple[float, float, float]:
        """The lower the better: the budget comes first, and nobody asked for less than it allows."""
        return self.excess, self.unspent, self.lost


@dataclass(frozen=True)
class _Search:
    """The best shapes of given layers, all of them for one budget."""

    importance: ImportanceTracker
    table: CostTable
    budget: float
    shrinking: bool

    @cached_property
    def value(self) -> Array:
        """Importance of each layer as a whole."""
        value: Array = at_least(self.importance.heads).sum(1) + at_least(self.importance.neurons).sum(1)
        return value

    def widths(self, base: EncoderShape) -> _Choice:
        """Return the best shape with the layers that `base` has."""
        shape, lost = choose_widths(base, self.importance, self.table, self.budget, shrinking=self.shrinking)
        lost -= float(np.log(_SKIPPED_SHARE) * self.value[shape.skipped].sum())
        excess = self.table.prunable_cost(shape) - self.budget
        unspent = max(-excess - _LITTLE * self.budget, 0.0)
        return _Choice(shape, excess if excess > _SAME_COST * self.budget else 0.0, unspent, lost)

    def layers(self, base: EncoderShape, least_skipped: int) -> EncoderShape:
        """Skip, or bring back, one layer after the other for as long as that loses less."""
        best = self.widths(base)
        while True:
            moved = _one_less(base, self.value) if self.shrinking else _one_more(base, least_skipped)
            found = min(((self.widths(each), each) for each in moved), key=lambda pair: pair[0].rank, default=None)
            if found is None or found[0].rank >= best.rank:
                return best.shape
            best, base = found


def choose_shape(
    current: EncoderShape,
    importance: ImportanceTracker,
    table: CostTable,
    compression_ratio: float,
    *,
    depth_share: float = 0.0,
) -> EncoderShape:
    """Choose what to keep so that at least `compression_ratio` of the prunable cost is gone.

    When the ratio rises only structures that are still there can go; when it falls those that are there stay and
    removed ones return, the most important per cost first. One head stays whatever the ratio: the classifier reads
    the first position, which without attention says the same of every text.

    Every block costs something whatever its width, and the layer below a skipped last one computes its first position
    only. So a layer is skipped where narrower blocks everywhere would lose more.

    Args:
        current: what is left now.
        importance: scores of all heads and neurons.
        table: cost of blocks by width.
        compression_ratio: share of the dense prunable cost to remove, in [0, 1).
        depth_share: share of that cost to take as whole layers at least, in [0, 1].
    """
    dense = EncoderShape.dense(len(current.layers), current.dense_heads, current.dense_neurons)
    budget = (1.0 - compression_ratio) * table.prunable_cost(dense)
    if compression_ratio <= 0.0:
        return dense
    excess = table.prunable_cost(current) - budget
    # Who asks for the ratio there is keeps what there is: by a last bit, or by what the grid rounds up, a structure
    # would go each time.
    if abs(excess) <= _SAME_COST * table.prunable_cost(dense):
        return current
    n_layers = len(current.layers)
    least_skipped = min(round(compression_ratio * depth_share * n_layers), n_layers - 1)
    search = _Search(importance, table, budget, shrinking=excess > 0.0)
    base = _skip(current, search.value, least_skipped) if search.shrinking else current
    return search.layers(base, least_skipped)


def _skip(current: EncoderShape, value: Array, count: int) -> EncoderShape:
    """Skip the least valuable layers until `count` are skipped."""
    shape = current
    while len(shape.skipped) < count:
        candidates = _skippable(shape)
        if not candidates:
            break
        shape = _with(shape, min(candidates, key=lambda i: value[i]), _SKIPPED)
    return shape


def _skippable(shape: EncoderShape) -> list[int]:
    """Return layers that may be skipped: the first reads the embeddings, and one with heads has to stay."""
    layers = shape.layers
    with_heads = [i for i, layer in enumerate(layers) if layer.heads]
    return [i for i in range(1, len(layers)) if layers[i].present and with_heads not in ([], [i])]


def _one_less(shape: EncoderShape, value: Array) -> list[EncoderShape]:
    """Return the shape without its least valuable layer, and without the last one, below which it gets cheap."""
    candidates = _skippable(shape)
    tried = {min(candidates, key=lambda i: value[i]), max(candidates)} if candidates else set()
    return [_with(shape, i, _SKIPPED) for i in sorted(tried)]


def _one_more(shape: EncoderShape, least_skipped: int) -> list[EncoderShape]:
    """Return the shape with one more layer, empty as yet, in all ways that leave `least_skipped` skipped."""
    skipped = shape.skipped
    return [_with(shape, i, _EMPTY) for i in skipped] if len(skipped) > least_skipped else []


def _with(shape: EncoderShape, index: int, layer: LayerShape) -> EncoderShape:
    layers = list(shape.layers)
    layers[index] = layer
    return replace(shape, layers=tuple(layers))
