"""One optimizer step, one segment of steps, and forward passes over many rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from sec_rl.compression.importance import ImportanceTracker
from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.training.batching import TokenRows
from sec_rl.training.divergence import TrainingDivergedError, check_loss, gradient_norm
from sec_rl.training.masked_language import MaskedLanguageModel
from sec_rl.training.precision import Precision, autocast
from sec_rl.training.replicas import ALONE, Replicas
from sec_rl.training.teacher import Teacher, distillation_loss, hidden_loss

HIDDEN_WEIGHT = 1.0
CLIP_NORM = 1.0


@dataclass(frozen=True)
class Batch:
    """What one step trains on.

    Attributes:
        rows: token rows.
        labels: (n,) true or pseudo-labels.
        pool_rows: (n,) index of each row in the pool, by which the teacher remembers; None: no teacher is asked.
        edited: whether some rows are augmented copies, whose tokens are not those the teacher saw.
    """

    rows: TokenRows
    labels: NDArray[np.int64]
    pool_rows: NDArray[np.int64] | None
    edited: bool = False

    def take(self, places: NDArray[np.int64]) -> Batch:
        """Return some of its rows."""
        pool_rows = None if self.pool_rows is None else self.pool_rows[places]
        return Batch(self.rows.take(places), self.labels[places], pool_rows, self.edited)


def train_step(
    model: SlimEncoderForSequenceClassification,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    precision: Precision,
    shape: EncoderShape,
    importance: ImportanceTracker | None,
    teacher: Teacher | None,
    pool: TokenRows,
    distillation_weight: float,
    language: MaskedLanguageModel | None = None,
    replicas: Replicas = ALONE,
) -> float:
    """Take one step on a batch and return its loss.

    Where several processes train the model, each computes its part of the batch: parts of the loss add up to the loss
    that one process alone would have, and parts of the gradients to its gradients.

    Raises:
        TrainingDivergedError: the loss or a gradient is infinite or no number, or the loss exploded; nothing has
            moved.
    """
    places, share = replicas.part(len(batch.labels))
    part = batch if replicas.count == 1 else batch.take(places)
    inputs = part.rows.pad()
    with autocast(precision):
        logits, _, after = model.encode(**inputs)
    loss = share * functional.cross_entropy(logits.float(), torch.from_numpy(part.labels))
    if teacher is not None and distillation_weight > 0.0 and batch.pool_rows is not None:
        teacher.expect([batch.pool_rows[replicas.part(len(batch.labels), i)[0]] for i in range(replicas.count)])
        teacher_logits, teacher_hidden = teacher.answer(pool, batch.pool_rows[places])
        taught = share * distillation_loss(logits, teacher_logits)
        hidden = after.get(teacher.layer)
        # Token states compare token by token: only for the same text, and not where the student's last layer, which
        # computes its first position alone, has become the matched one.
        if hidden is not None and not part.edited and hidden.shape == teacher_hidden.shape:
            tokens = part.rows.lengths.sum() / batch.rows.lengths.sum() if share else 0.0
            matched = hidden_loss(hidden, teacher_hidden, inputs["attention_mask"])
            taught = taught + HIDDEN_WEIGHT * float(tokens) * matched
        loss = (1.0 - distillation_weight) * loss + distillation_weight * taught
    masked = None if language is None else language.loss(model.encoder, precision, replicas)
    if masked is not None:
        loss = loss + masked
    value = replicas.total(loss.item())
    check_loss(value)
    loss.backward()  # type: ignore[no-untyped-call]
    replicas.add_gradients(model.parameters())
    if language is not None and masked is not None:
        replicas.add_gradients(language.head.parameters())
    try:
        norm = gradient_norm(model.parameters())
        if language is not None:
            gradient_norm(language.head.parameters())
    except TrainingDivergedError:
        for module in (model, *(() if language is None else (language.head,))):
            module.zero_grad(set_to_none=True)
        raise
    if importance is not None:
        importance.update(model, shape)
    torch.nn.utils.clip_grads_with_norm_(model.parameters(), CLIP_NORM, norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if language is not None and masked is not None:
        language.step()
    return value


@torch.inference_mode()
def predict(
    model: SlimEncoderForSequenceClassification,
    rows: TokenRows,
    precision: Precision,
    batch_size: int = 64,
    replicas: Replicas = ALONE,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return class probabilities (n, classes) and pooled vectors (n, hidden), in the order of the rows.

    Several processes take turns with the batches; what comes out is what one alone computes, bit for bit.
    """
    was_training = model.training
    model.eval()
    order = np.argsort(rows.lengths, kind="stable")
    probabilities = np.zeros((len(rows), model.config.num_labels), np.float32)
    embeddings = np.zeros((len(rows), model.config.hidden_size), np.float32)
    for start in range(replicas.index * batch_size, len(order), replicas.count * batch_size):
        chosen = order[start : start + batch_size]
        with autocast(precision):
            logits, pooled, _ = model.encode(**rows.take(chosen).pad())
        probabilities[chosen] = torch.softmax(logits.float(), dim=-1).numpy()
        embeddings[chosen] = pooled.float().numpy()
    model.train(was_training)
    replicas.add_arrays(probabilities, embeddings)
    return probabilities, embeddings
