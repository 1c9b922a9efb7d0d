"""What every session on a real encoder shares, whoever trains its segments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.backends.pruning import PruningState
from sec_rl.compression.sizes import ShapeSizes, artefact_bytes
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.data.least_rows import least_rows
from sec_rl.errors import InputError
from sec_rl.measurement.accuracy import Scores
from sec_rl.tasks import LabelPool
from sec_rl.training.batching import TokenRows
from sec_rl.training.labelling import rows_in_use
from sec_rl.training.precision import Precision
from sec_rl.training.replicas import ALONE, Replicas
from sec_rl.values import Forecast, Levers, Metrics, Ratios


@dataclass(frozen=True)
class _Before:
    """Where a session was before its last segment; `pruning` is from `PruningState.state`."""

    pruning: dict[str, Any]
    scores: Scores
    data_ratio: float


class EncoderSession:
    """An encoder whose structure and whose rows follow two ratios.

    Attributes:
        model: what is left of the encoder.
        pruning: its structure, its optimizer and the vault of what was removed.
        pool: labels of the training rows; `rows`: their tokens.
        dense_bytes: of the dense model in fp32.
        budget: example passes of the whole run.
        precision: number format of scoring passes.
        generator: decides which labels are bought.
        passes_done: example passes so far; `train_seconds`: what they took.
        replicas: processes that train it together.
    """

    model: SlimEncoderForSequenceClassification
    pruning: PruningState
    pool: LabelPool
    rows: TokenRows
    dense_bytes: int
    budget: int
    precision: Precision
    generator: np.random.Generator
    passes_done: int = 0
    train_seconds: float = 0.0
    replicas: Replicas = ALONE
    _segment: int = 0
    _data_ratio: float = 0.0
    _before: _Before | None = None
    _scores: Scores

    def rollback(self) -> Metrics:
        """Put weights, structure and optimizer back to where they were before the last segment.

        Raises:
            InputError: there is no segment to take back.
        """
        if self._before is None:
            raise InputError("There is no segment to roll back.")
        self._restore_model(self._before)
        self._scores, self._data_ratio = self._before.scores, self._before.data_ratio
        self._before = None
        return self._metrics()

    def forecast(self, compression: float) -> Forecast:
        """Predict size and latency at a compression ratio from the table; nothing changes."""
        shape = self.pruning.shape_at(compression)
        return Forecast(self._sizes.of(shape) / self.dense_bytes, self.pruning.latency_ratio_of(shape))

    @cached_property
    def _sizes(self) -> ShapeSizes:
        return ShapeSizes(self.model.config)

    def structure(self) -> dict[str, Any]:
        """Return kept heads and neurons per dense layer."""
        counts: dict[str, Any] = self.pruning.shape.counts()
        return counts

    @property
    def n_segments(self) -> int:
        """Segments of the whole run."""
        raise NotImplementedError

    def _take(self, model: SlimEncoderForSequenceClassification) -> None:
        """Go on with another model."""
        self.model = model

    def _restore_model(self, before: _Before) -> None:
        self._take(self.pruning.resume(before.pruning))
        self.model.train()

    def _begin_segment(
        self, batch_size: int, selection: str, data_ratio: float, limit: float = 1.0
    ) -> NDArray[np.int64]:
        """Return the rows that a data ratio stands for, see `rows_in_use`, and remember where the run is.

        Args:
            batch_size: rows of a step.
            selection: a key of `sec_rl.data.selection.SELECTIONS`.
            data_ratio: share of the pool to use, in (0, 1].
            limit: share of the pool that may be bought.

        Raises:
            InputError: every segment is done.
        """
        if self._segment >= self.n_segments:
            raise InputError(f"The run has {self.n_segments} segments; all are done.")
        before = np.flatnonzero(self.pool.bought)
        least = int(least_rows(batch_size, self.model.config.num_labels, round(limit * len(self.pool))))
        in_use = rows_in_use(
            self.model,
            self.pool,
            self.rows,
            data_ratio,
            selection=selection,
            least=least,
            passes=round(self.budget / self.n_segments),
            precision=self.precision,
            generator=self.generator,
            replicas=self.replicas,
        )
        known = np.unique(self.pool.labels_of(before))
        new = np.setdiff1d(self.pool.labels_of(in_use), known)
        if len(new):
            # Nothing can be fitted to one class alone.
            self._meet(in_use, new if len(known) > 1 else np.union1d(known, new))
        self._before = _Before(self.pruning.state(self.model), self._scores, self._data_ratio)
        self._data_ratio = len(in_use) / len(self.pool)
        return in_use

    def _meet(self, in_use: NDArray[np.int64], classes: NDArray[np.int64]) -> None:
        """Ready the model for classes that no label was of before; whoever takes the segment back keeps that."""

    def _compress(self, ratios: Ratios, levers: Levers) -> None:
        """Realise the compression ratio, and count the segment."""
        self._take(self.pruning.realise(self.model, ratios.compression, levers.depth_share))
        self._segment += 1

    def _metrics(self) -> Metrics:
        bought = self.pool.n_bought
        return Metrics(
            source="measured",
            segment=self._segment,
            n_segments=self.n_segments,
            n_classes=self.model.config.num_labels,
            data_ratio=self._data_ratio,
            compression_ratio=self.pruning.compression_ratio,
            validation_accuracy=self._scores.accuracy,
            validation_macro_f1=self._scores.macro_f1,
            validation_loss=self._scores.loss,
            labels_bought=bought,
            label_fraction=bought / len(self.pool),
            example_passes=self.passes_done,
            passes_fraction=min(1.0, self.passes_done / self.budget),
            size_ratio=artefact_bytes(self.model) / self.dense_bytes,
            latency_ratio=self.pruning.latency_ratio,
            seconds=self.train_seconds,
        )
