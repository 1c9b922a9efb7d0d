"""A picture of what is left of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layers_picture(structure: Mapping[str, Any]) -> str:
    """Return one line per dense layer, the last on top, with a bar for its heads and one for its neurons.

    Args:
        structure: `{"heads": [..], "ffn": [..], "dense_heads": n, "dense_ffn": n}`; a dropped layer counts 0 and 0.
    """
    heads, neurons = structure["heads"], structure["ffn"]
    lines = ['<div class="layer"><small>layer</small><small>attention heads</small><small>FFN neurons</small></div>']
    for index in reversed(range(len(heads))):
        bars = _bar(heads[index], structure["dense_heads"], "left")
        bars += _bar(neurons[index], structure["dense_ffn"], "left ffn")
        name = f"{index + 1}" if heads[index] or neurons[index] else f"{index + 1} (gone)"
        lines.append(f'<div class="layer"><span>{name}</span>{bars}</div>')
    return "\n".join(lines)


def _bar(left: int, dense: int, kind: str) -> str:
    share = 100.0 * left / dense
    return (
        f'<div><div class="track"><div class="{kind}" style="width:{share:.1f}%"></div></div>'
        f"<small>{int(left):,} of {int(dense):,}</small></div>"
    )
