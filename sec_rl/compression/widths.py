"""How wide each block stays: what loses least importance for a given cost, solved as a knapsack.

Every attention and every feed-forward block offers one option per width; the option's loss is the importance of
what it removes, its cost comes from the table. Dynamic programming over the discretised cost picks one option per
block (the formulation of Kwon et al. 2022, sec. 4, and ZipLM, Kurtic et al. 2023, sec. 3.2, exact up to the grid).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.compression.cost_table import CostTable
from sec_rl.compression.importance import ImportanceTracker
from sec_rl.compression.shape import EncoderShape, LayerShape

Array = NDArray[np.float64]
# Matrix kernels work on tiles of this many columns: finer widths cost the same time.
NEURON_GROUP = 32
_GRID = 2000
# Importance of a structure that seems worthless.
_LEAST = 1e-12
# An empty block costs as much as one that kept this share of its importance: emptying it must stay possible.
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class _Block:
    """Options of one block: `kept[i]` structures stay, at `cost[i]`, losing `loss[i]`; `order` is best first."""

    order: NDArray[np.int64]
    kept: NDArray[np.int64]
    cost: Array
    loss: Array


def at_least(scores: Array) -> Array:
    """Return importances, none of them nothing: among what seems worthless, fewer removals are better than more."""
    return np.maximum(scores, _LEAST)


def choose_widths(
    base: EncoderShape, importance: ImportanceTracker, table: CostTable, budget: float, *, shrinking: bool
) -> tuple[EncoderShape, float]:
    """Choose widths of the present layers whose cost is within `budget`, as near to it as the grid allows.

    Args:
        base: its present layers stay present. One head stays in them.
        importance: scores of all heads and neurons.
        table: cost of blocks by width.
        budget: cost of all layers at most; where nothing is as cheap, what is cheapest is taken.
        shrinking: only what is there may go; else it stays, and what went may return.

    Returns:
        The shape, and the importance that its present layers lose.
    """
    present = [i for i, layer in enumerate(base.layers) if layer.present]
    # As late as possible, where it costs least: the last layer computes its first position only.
    reading = max((i for i in present if base.layers[i].heads), default=present[-1])
    blocks = []
    for i in present:
        attention, ffn = table.attention, table.ffn
        if i == present[-1]:
            attention, ffn = table.last_attention, table.last_ffn
        heads, neurons = base.layers[i].heads, base.layers[i].neurons
        least = int(i == reading)
        blocks.append(_options(importance.heads[i], heads, attention, 1, shrinking=shrinking, least=least))
        blocks.append(_options(importance.neurons[i], neurons, ffn, NEURON_GROUP, shrinking=shrinking))
    picks = _solve(blocks, budget)
    layers = list(base.layers)
    for position, i in enumerate(present):
        kept = [
            tuple(sorted(int(k) for k in blocks[b].order[: blocks[b].kept[picks[b]]]))
            for b in (2 * position, 2 * position + 1)
        ]
        layers[i] = LayerShape(kept[0], kept[1])
    lost = sum(float(block.loss[pick]) for block, pick in zip(blocks, picks, strict=True))
    return EncoderShape(tuple(layers), base.dense_heads, base.dense_neurons), lost


def _options(
    scores: Array, active: tuple[int, ...], curve: Array, group: int, *, shrinking: bool, least: int = 0
) -> _Block:
    """List the widths, from `least`, that a block may take: up to the present one when shrinking, else from it."""
    scores = at_least(scores)
    is_active = np.zeros(len(scores), bool)
    is_active[list(active)] = True
    # Present structures come first whatever their score: nothing is swapped out while the ratio falls.
    order = np.lexsort((-scores, ~is_active))
    n_active = len(active)
    widths = np.unique(np.append(np.arange(0, len(scores) + 1, group), [n_active, len(scores)]))
    kept = widths[widths <= n_active] if shrinking else widths[widths >= n_active]
    kept = kept[kept >= min(least, kept[-1])]
    gained = np.concatenate([[0.0], np.cumsum(scores[order])])
    return _Block(order, kept, curve[kept], _loss(gained)[kept])


def _loss(gained: Array) -> Array:
    """Return what a block loses when only its best structures stay.

    First-order scores add up, as if every structure worked alone. In truth those that stay stand in for those that
    went, until hardly any is left: added scores empty whole attention blocks. So with a share s of the block's
    importance kept the loss is -importance x ln(s): the additive one to first order, and steeper the less is left.

    Args:
        gained: (structures + 1,) importance kept with the best 0, 1, .. structures.
    """
    total = gained[-1]
    loss: Array = -total * np.log(np.maximum(gained / total, _LEAST_SHARE))
    return loss


def _solve(blocks: list[_Block], budget: float) -> list[int]:
    """Pick one option per block with the least total loss and a total cost within `budget`."""
    floor = sum(float(block.cost.min()) for block in blocks)
    if budget <= floor:
        return [int(np.argmin(block.cost)) for block in blocks]
    step = budget / _GRID
    best = np.zeros(_GRID + 1)
    choices = []
    for block in blocks:
        # Rounding up keeps the true cost within the budget.
        units = np.ceil(block.cost / step - 1e-9).astype(np.int64)
        table = np.full((len(units), _GRID + 1), np.inf)
        for option, (unit, loss) in enumerate(zip(units, block.loss, strict=True)):
            if unit <= _GRID:
                table[option, unit:] = best[: _GRID + 1 - unit] + loss
        choices.append(table.argmin(axis=0))
        best = table.min(axis=0)
    if not np.isfinite(best[-1]):
        return [int(np.argmin(block.cost)) for block in blocks]
    picks, left = [], _GRID
    for block, choice in zip(reversed(blocks), reversed(choices), strict=True):
        option = int(choice[left])
        picks.append(option)
        left -= int(np.ceil(block.cost[option] / step - 1e-9))
    return picks[::-1]
