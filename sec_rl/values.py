"""Plain values that every room shares: ratios, levers, metrics, preferences."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sec_rl.errors import InputError, out_of_range

Source = Literal["measured", "simulated"]


@dataclass(frozen=True)
class Ratios:
    """Where a segment should go.

    Attributes:
        data: share of the training pool whose labels may be used, in (0, 1].
        compression: share of the dense encoder's prunable cost that is removed, in [0, 1).
    """

    data: float
    compression: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.data) and 0.0 < self.data <= 1.0):
            raise InputError(f"data ratio is {self.data:g}; it must lie in (0, 1].")
        if not (math.isfinite(self.compression) and 0.0 <= self.compression < 1.0):
            raise InputError(f"compression ratio is {self.compression:g}; it must lie in [0, 1).")


@dataclass(frozen=True)
class Levers:
    """How a segment realises its ratios; every entry lies in [0, 1].

    Attributes:
        augmentation_strength: share of the words of an augmented text that change (EDA's alpha).
        augmentation_share: share of a batch that is replaced by an augmented copy.
        pseudo_label_share: share of a batch drawn from the unlabelled pool with pseudo-labels.
        distillation_weight: weight of the teacher's term against the labels' term in the loss.
        depth_share: share of the removed cost that is taken as whole layers, at least.

    Raises:
        InputError: an entry lies outside [0, 1].

    Examples:
        >>> from sec_rl import Levers
        >>> Levers(augmentation_share=0.25).distillation_weight
        0.2
    """

    augmentation_strength: float = 0.1
    augmentation_share: float = 0.0
    pseudo_label_share: float = 0.0
    distillation_weight: float = 0.2
    depth_share: float = 0.0

    @property
    def edits(self) -> bool:
        """Whether texts are trained on as edited copies."""
        return self.augmentation_strength > 0.0 and max(self.augmentation_share, self.pseudo_label_share) > 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise out_of_range(field.name.replace("_", " "), value, 0.0, 1.0)


@dataclass(frozen=True)
class Metrics:
    """State of a controlled run after `segment` of `n_segments` segments.

    Attributes:
        source: whether real training or the simulator produced it; tables refuse to mix them.
        segment: segments finished, in [0, n_segments].
        n_segments: segments of the whole run, at least 1.
        n_classes: classes of the task, at least 2.
        data_ratio: share of the pool in use, in (0, 1]; 0 before the first segment.
        compression_ratio: share of the prunable cost really removed, in [0, 1).
        validation_accuracy: in [0, 1].
        validation_macro_f1: in [0, 1].
        validation_loss: mean cross-entropy in nats, at least 0.
        labels_bought: labels revealed so far, a count.
        label_fraction: `labels_bought` over the pool's size, in [0, 1].
        example_passes: examples that went forward and backward so far, a count.
        passes_fraction: `example_passes` over the run's budget, in [0, 1].
        size_ratio: predicted artefact bytes over dense fp32 bytes, in (0, 1] and rarely above.
        latency_ratio: predicted time of a batch of 32 over that of the dense model in the same format, in (0, 1].
        seconds: training seconds so far (clock of the run; 0 in a simulator).
    """

    source: Source
    segment: int
    n_segments: int
    n_classes: int
    data_ratio: float
    compression_ratio: float
    validation_accuracy: float
    validation_macro_f1: float
    validation_loss: float
    labels_bought: int
    label_fraction: float
    example_passes: int
    passes_fraction: float
    size_ratio: float
    latency_ratio: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, one entry per attribute."""
        return asdict(self)


@dataclass(frozen=True)
class Forecast:
    """What a compression ratio would cost, before anything is removed.

    Attributes:
        size_ratio: predicted artefact bytes over dense fp32 bytes.
        latency_ratio: predicted time of a batch of 32 over that of the dense model in the same format.
    """

    size_ratio: float
    latency_ratio: float


@dataclass(frozen=True)
class Preference:
    """What the user wants of a run: weights of the trade-off, and targets.

    Attributes:
        accuracy_weight: utility per unit of accuracy, at least 0.
        size_weight: utility per halving of the size, at least 0.
        latency_weight: utility per halving of the latency, at least 0.
        label_weight: utility per unit of label fraction saved, at least 0.
        target_speedup: dense fp32 latency over artefact latency to reach, at least 1; None: no target.
        target_size_ratio: artefact bytes over dense bytes to reach, in (0, 1]; None: no target.
        max_accuracy_drop: points of accuracy (0..100) that may be lost against dense; None: no limit.

    Raises:
        InputError: a weight or a target lies outside its range.

    Examples:
        >>> from sec_rl import Preference
        >>> Preference(target_speedup=8.0, latency_weight=0.03).target_size_ratio is None
        True
        >>> Preference(target_speedup=0.5)
        Traceback (most recent call last):
        sec_rl.errors.InputError: target speedup is 0.5; it must lie in [1, 1000].
    """

    accuracy_weight: float = 1.0
    # Accuracy first: half the size or half the time is worth a point, all labels are worth two.
    size_weight: float = 0.01
    latency_weight: float = 0.01
    label_weight: float = 0.02
    target_speedup: float | None = None
    target_size_ratio: float | None = None
    max_accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        for name in ("accuracy_weight", "size_weight", "latency_weight", "label_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise InputError(f"{name.replace('_', ' ')} is {value:g}; it must be finite and at least 0.")
        limits = {
            "target_speedup": (1.0, 1000.0),
            "target_size_ratio": (1e-3, 1.0),
            "max_accuracy_drop": (0.0, 100.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise out_of_range(name.replace("_", " "), value, low, high)
