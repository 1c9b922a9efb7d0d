"""A session whose segments somebody else trains: a Trainer that calls, and is not called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from sec_rl.backends.encoder_session import EncoderSession
from sec_rl.backends.pruning import PruningState
from sec_rl.compression.cost_table import CostTable
from sec_rl.compression.in_place import adopt
from sec_rl.compression.sizes import dense_bytes
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.config import PruningConfig
from sec_rl.errors import InputError
from sec_rl.measurement.accuracy import Scores
from sec_rl.tasks import LabelPool, Split
from sec_rl.training.batching import BatchStream, TokenRows
from sec_rl.values import Levers, Metrics, Ratios

_LABEL_COLUMNS = ("labels", "label", "label_ids")


class RowsInUse(Sampler[int]):
    """Draws as many rows as the whole set has, but only such that are in use.

    Every row in use is drawn once before any is drawn twice; rows that join take part in the pass that is under way.

    Args:
        n_rows: of the training set; an epoch keeps its length, so that schedules of the learning rate do.
        batch_size: rows that a pass is shuffled by.
        seed: of the order.
    """

    def __init__(self, n_rows: int, batch_size: int, seed: int) -> None:
        self._n_rows = n_rows
        # All of one length: how rows are put together is left to the user's own Trainer.
        self._stream = BatchStream(np.ones(n_rows, np.int64), batch_size, seed)
        self._left: list[int] = []

    def use(self, rows: NDArray[np.int64]) -> None:
        """Draw from `rows` from now on."""
        self._stream.use(rows)
        self._left = np.intersect1d(self._left, rows).tolist()

    def __len__(self) -> int:
        return self._n_rows

    def __iter__(self) -> Iterator[int]:
        for _ in range(self._n_rows):
            if not self._left:
                self._left = self._stream.next().tolist()
            yield self._left.pop()


def read_rows(dataset: Sequence[Mapping[str, Any]], config: SlimEncoderConfig) -> tuple[TokenRows, NDArray[np.int64]]:
    """Return tokens and labels of a training set as a Trainer reads it; padding is removed.

    Args:
        dataset: rows with `input_ids` and one of `labels`, `label`, `label_ids`.
        config: of the model that they are for.

    Raises:
        InputError: a row lacks tokens or a label, or its label is no class of the model.
    """
    ids, segments, labels = [], [], []
    for index in range(len(dataset)):
        row = dataset[index]
        column = next((name for name in _LABEL_COLUMNS if name in row), None)
        if column is None or "input_ids" not in row:
            missing = "labels" if column is None else "input_ids"
            raise InputError(f"Training row {index} has no {missing!r}; it has {', '.join(row)}.")
        tokens = np.asarray(row["input_ids"], np.int64)
        real = np.asarray(row.get("attention_mask", np.ones_like(tokens)), bool)
        ids.append(tokens[real])
        segments.append(np.asarray(row.get("token_type_ids", np.zeros_like(tokens)), np.int64)[real])
        label = np.asarray(row[column])
        if label.ndim or label.dtype.kind not in "iu" or not 0 <= label < config.num_labels:
            raise InputError(
                f"Training row {index} has the label {row[column]!r}; it must be one integer below "
                f"{config.num_labels}, the model's number of classes."
            )
        labels.append(int(label))
    kept = tuple(segments) if config.type_vocab_size else None
    return TokenRows(tuple(ids), kept, int(config.pad_token_id or 0)), np.array(labels, np.int64)


class TrainerSession(EncoderSession):
    """One run of somebody else's training; see `sec_rl.envs.session.Steered` for what a drive asks of it.

    Order of calls: `open` once, then per segment `begin`, the segment's training with `saw_gradients` in every step,
    and `finish`. The model and the optimizer change in place. Of the levers it realises `depth_share`; the loss and
    the texts are the trainer's.

    Args:
        model: a dense slim encoder, the object that is trained.
        optimizer: of `model`.
        rows: tokens of the training set; `labels`: (n,) class ids.
        table: time per block of this encoder on this device.
        n_segments: of the run; `budget`: its example passes.
        batch_size: rows per step; at least as many are in use, see `sec_rl.data.least_rows.least_rows`.
        selection: a key of `sec_rl.data.selection.SELECTIONS`.
        seed: of every draw.

    Attributes:
        sampler: draws the rows in use; the data loader must draw from it.
    """

    def __init__(
        self,
        model: SlimEncoderForSequenceClassification,
        optimizer: torch.optim.Optimizer,
        rows: TokenRows,
        labels: NDArray[np.int64],
        table: CostTable,
        *,
        n_segments: int,
        budget: int,
        batch_size: int,
        selection: str,
        seed: int,
    ) -> None:
        self.model, self.rows, self.budget = model, rows, budget
        self._n_segments, self._batch_size, self._selection = n_segments, batch_size, selection
        self.dense_bytes = dense_bytes(model)
        self.pool = LabelPool(Split(("",) * len(labels), None, labels))
        self.pruning = PruningState(model, optimizer, PruningConfig(), table)
        self.precision = "fp32"
        self.generator = np.random.default_rng([seed, 2])
        self.sampler = RowsInUse(len(labels), batch_size, seed)

    @property
    def n_segments(self) -> int:
        """Segments of the whole run."""
        return self._n_segments

    def open(self, scores: Scores) -> Metrics:
        """Return the metrics of segment 0, from the untrained model's validation scores."""
        self._scores = scores
        return self._metrics()

    def begin(self, ratios: Ratios, levers: Levers) -> None:
        """Realise the ratios of the next segment.

        Raises:
            InputError: every segment is done.
        """
        self.sampler.use(self._begin_segment(self._batch_size, self._selection, ratios.data))
        self._compress(ratios, levers)

    def saw_gradients(self) -> None:
        """Take note of a step's gradients; call it between backward and the optimizer's step."""
        self.pruning.importance.update(self.model, self.pruning.shape)

    def finish(self, scores: Scores, passes_done: int, seconds: float) -> Metrics:
        """Return the metrics after a segment.

        Args:
            scores: of validation.
            passes_done: example passes since the run began.
            seconds: of training since the run began.
        """
        self._scores, self.passes_done, self.train_seconds = scores, passes_done, seconds
        return self._metrics()

    def _take(self, model: SlimEncoderForSequenceClassification) -> None:
        """Change the model in place: others hold it."""
        if model is not self.model:
            adopt(self.model, model)
