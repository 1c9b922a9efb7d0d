"""How a segment changes accuracy and loss: one law of learning and damage with a few coefficients.

Accuracy and loss are skills between that of a guess (0) and perfection (1), see `sec_rl.backends.simulator.tasks`.
A segment first damages what was learned, by how much it removes of what was left of the encoder, and then pulls the
run towards a level, by a share that follows from the segment's effort on the task's dense learning curve::

    kept  = before x exp(-fragility x removal)
    share = 1 - exp(-exp(ease . deviations) x effort)
    level = sigmoid(logit(asymptote) + effect . deviations)
    after = kept + share x (level - kept)

The deviations (`features.DEVIATION_NAMES`) are what sets a segment apart from dense training on all labels: without
any, the law gives the task's own dense curve, whatever the coefficients are. Effects add up in log-odds, so that what
takes a point from a task with a tenth of errors takes next to none from one with a hundredth. Fewer labels matter
less where there are many per class. All coefficients are shared by all tasks: ten families tell little about an
eleventh, and networks in their place predicted left-out tasks worse.

An ensemble of fits to bootstraps says how sure the coefficients are, as in Chua et al. 2018, sec. 4; others of its
members are fitted to one family alone and say how far a family may be from what is common to all. Such a law belongs
to tasks that are like its family: drawn for any task, it would teach that nothing one sees of a task says how it will
answer, and caution everywhere for the sake of the family that can bear least. From the common law tasks differ by
more than bootstraps do: a task's own sensitivity, drawn for every simulated run, scales all its effects on the level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.simulator.features import (
    ASYMPTOTE,
    DEVIATION_NAMES,
    DEVIATIONS,
    EFFORT,
    REMOVAL,
    ROWS_PER_CLASS,
)
from sec_rl.backends.simulator.stacked import Stacked

Array = NDArray[np.float64]

# Removal and missing labels enter with a power: the first parts cost less, or more, than the last.
N_POWERS = 2
LABELS = DEVIATION_NAMES.index("log_labels_left_out")
# Bounds of the logarithm of ease, and of an effect in log-odds.
LEAST_EASE, MOST_EASE = -3.0, 2.0
LEAST_EFFECT, MOST_EFFECT = -6.0, 2.0
# `Ensemble.family` of a member that stands for all families.
COMMON = -1.0
# Log of the rows per class at which the effect of missing labels is that of its coefficient.
ROWS_OFFSET = 5.0


@dataclass(frozen=True)
class Ensemble(Stacked):
    """Coefficients of all members, stacked; two of each, for accuracy and loss.

    Attributes:
        effect: (members, 2, deviations) on the level, in log-odds.
        ease: (members, 2, deviations) on the logarithm of the speed.
        fragility: (members, 2) at least 0.
        powers: (members, 2, 2) of what is removed and of the labels that are left out, above 0.
        abundance: (members, 2) by how much the effect of missing labels falls per factor e of rows per class, as a
            logarithm.
        family: (members,) that a member alone was fitted to, as `TaskBatch.family` counts them; `COMMON` for one that
            stands for all of them, whose effects a task's sensitivity multiplies.
    """

    effect: Array
    ease: Array
    fragility: Array
    powers: Array
    abundance: Array
    family: Array

    @property
    def n_members(self) -> int:
        """Members."""
        return len(self.effect)

    @property
    def common(self) -> NDArray[np.bool_]:
        """Whether a member stands for all families, (members,)."""
        found: NDArray[np.bool_] = self.family == COMMON
        return found

    def draw(self, families: Array, generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw a member for each lane, (lanes,): as often a common one as there are of them, else its family's own.

        Args:
            families: (lanes,) whose own law each may follow; one without a member of its own takes any of them.
            generator: decides.
        """
        drawn = generator.integers(0, self.n_members, len(families))
        order = np.argsort(self.family, kind="stable")
        first, last = (np.searchsorted(self.family[order], families, side) for side in ("left", "right"))
        turn = first + (generator.random(len(families)) * (last - first)).astype(np.int64)
        own = order[np.minimum(turn, self.n_members - 1)]
        return np.where(self.common[drawn] | (last == first), drawn, own)

    def step(
        self, members: NDArray[np.int64], inputs: Array, state: Array, sensitivity: Array | float = 1.0
    ) -> Array:
        """Return where runs stand after a segment.

        Args:
            members: (lanes,) member that simulates each lane.
            inputs: (lanes, features) from `features`.
            state: (lanes, 2) skill of accuracy and of loss.
            sensitivity: (lanes,) what effects are multiplied by in the law that is common to all, above 0.

        Returns:
            (lanes, 2) the same afterwards.
        """
        apart = np.repeat(inputs[:, None, DEVIATIONS], 2, axis=1)
        apart[..., :N_POWERS] **= self.powers[members]
        ease = np.exp(np.clip((self.ease[members] * apart).sum(axis=-1), LEAST_EASE, MOST_EASE))
        rows = inputs[:, ROWS_PER_CLASS, None] - ROWS_OFFSET
        apart[..., LABELS] *= np.exp(-self.abundance[members] * rows)
        sensitivity = np.where(self.common[members], sensitivity, 1.0)
        effect = (self.effect[members] * apart).sum(axis=-1) * sensitivity[:, None]
        effect = np.clip(effect, LEAST_EFFECT, MOST_EFFECT)
        top = inputs[:, ASYMPTOTE]
        level = top / (top + (1.0 - top) * np.exp(-effect))
        # Skill below that of a guess was never learned.
        decay = np.exp(-self.fragility[members] * inputs[:, REMOVAL, None])
        kept = np.minimum(state, 0.0) + np.maximum(state, 0.0) * decay
        after: Array = kept + (1.0 - np.exp(-ease * inputs[:, EFFORT])) * (level - kept)
        return after
