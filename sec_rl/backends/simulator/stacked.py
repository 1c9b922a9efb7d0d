"""Arrays that share their first axis: entries are taken and joined in all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stacked:
    """Base of dataclasses whose every field is such an array."""

    def take(self, entries: NDArray[np.int64] | Sequence[int]) -> Self:
        """Return some of the entries, in the order given."""
        return type(self)(**{field.name: getattr(self, field.name)[entries] for field in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the entries of several, in turn."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )
