"""A picture of what is left of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layers_picture(structure: Mapping[str, Any]) -> str:
    """Return one line per dense layer, the last on top: a square per attention head, a bar for the neurons.

    Args:
        structure: `{"heads": [..], "ffn": [..], "dense_heads": n, "dense_ffn": n}`; a dropped layer counts 0 and 0.
    """
    heads, neurons = structure["heads"], structure["ffn"]
    lines = ['<div class="layer"><small>layer</small><small>attention heads</small><small>FFN neurons</small></div>']
    for index in reversed(range(len(heads))):
        gone = not (heads[index] or neurons[index])
        name = f"{index + 1} (gone)" if gone else f"{index + 1}"
        lines.append(
            f'<div class="layer"><span>{name}</span>'
            f"{_squares(heads[index], structure['dense_heads'])}{_bar(neurons[index], structure['dense_ffn'])}</div>"
        )
    return f'<div class="layers">{"".join(lines)}</div>'


def layers_sum(structure: Mapping[str, Any]) -> str:
    """Return what is left of all layers together, in one sentence."""
    layers = len(structure["heads"])
    parts = [
        f"{int(sum(structure[key])):,} of {int(layers * structure[dense]):,} {words}"
        for key, dense, words in (("heads", "dense_heads", "attention heads"), ("ffn", "dense_ffn", "FFN neurons"))
    ]
    return f"{' and '.join(parts)} are left. How many is shown, not which."


def _squares(left: int, dense: int) -> str:
    squares = "".join('<i class="on"></i>' if i < left else "<i></i>" for i in range(int(dense)))
    return f'<div><div class="heads">{squares}</div>{_count(left, dense)}</div>'


def _bar(left: int, dense: int) -> str:
    bar = f'<div class="left" style="width:{100.0 * left / dense:.1f}%"></div>'
    return f'<div><div class="track">{bar}</div>{_count(left, dense)}</div>'


def _count(left: int, dense: int) -> str:
    return f"<small>{int(left):,} of {int(dense):,}</small>"
