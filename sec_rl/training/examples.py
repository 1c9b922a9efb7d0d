"""Which rows a segment trains on: bought labels, pseudo-labels, and augmented copies of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from sec_rl.data.augmentation import augment_many
from sec_rl.data.semi_supervised import PseudoLabels
from sec_rl.tasks import LabelPool
from sec_rl.training.batching import BatchStream, TokenRows, tokenize
from sec_rl.training.trainer import Batch
from sec_rl.values import Levers


@dataclass
class ExampleSource:
    """Draws batches; the mixture follows the levers.

    Attributes:
        pool: texts and bought labels.
        rows: token rows of the pool.
        tokenizer: encodes augmented copies; `max_length` cuts them.
        labelled: stream over rows with bought labels; `unlabelled`: over rows with pseudo-labels.
        generator: decides what is augmented, and how.
    """

    pool: LabelPool
    rows: TokenRows
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    labelled: BatchStream
    unlabelled: BatchStream
    generator: np.random.Generator

    def next(self, levers: Levers, pseudo: PseudoLabels | None) -> Batch:
        """Return the next batch.

        Args:
            levers: shares of augmented and pseudo-labelled rows, and the strength of augmentation.
            pseudo: pseudo-labels whose rows are pool rows; None or empty: bought labels only.
        """
        chosen = self.labelled.next()
        labels = self.pool.labels_of(chosen)
        augmented = self.generator.random(len(chosen)) < levers.augmentation_share
        if pseudo is not None and len(pseudo.rows) and levers.pseudo_label_share > 0.0:
            n_pseudo = round(levers.pseudo_label_share * len(chosen))
            # Batches are sorted by length: cut as they are, they would lose their longest rows in every pass.
            own = self.generator.permutation(self.unlabelled.next())[:n_pseudo]
            kept = self.generator.permutation(len(chosen))[len(own) :]
            chosen = np.concatenate([chosen[kept], own])
            labels = np.concatenate([labels[kept], pseudo.labels[np.searchsorted(pseudo.rows, own)]])
            # A pseudo-label comes from the plain text, so the copy that is trained on is an augmented one.
            augmented = np.concatenate([augmented[kept], np.ones(len(own), bool)])
        if not augmented.any() or levers.augmentation_strength == 0.0:
            return Batch(self.rows.take(chosen), labels, chosen)
        return Batch(self._edited(chosen, augmented, levers.augmentation_strength), labels, chosen, edited=True)

    def state(self) -> dict[str, Any]:
        """Return everything that decides the batches to come: arrays and JSON-ready values."""
        streams = {"labelled": self.labelled.state(), "unlabelled": self.unlabelled.state()}
        return {**streams, "generator": self.generator.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the source was that gave `state`."""
        self.labelled.restore(state["labelled"])
        self.unlabelled.restore(state["unlabelled"])
        self.generator.bit_generator.state = state["generator"]

    def _edited(self, chosen: NDArray[np.int64], augmented: NDArray[np.bool_], strength: float) -> TokenRows:
        plain = self.rows.take(chosen)
        places = np.flatnonzero(augmented)
        plain_texts = [self.pool.texts[chosen[i]] for i in places]
        texts = augment_many(plain_texts, strength=strength, generator=self.generator)
        pairs = None if self.pool.pairs is None else [self.pool.pairs[chosen[i]] for i in places]
        edited = tokenize(
            self.tokenizer, texts, pairs, max_length=self.max_length, with_segments=plain.segments is not None
        )
        ids, segments = list(plain.ids), None if plain.segments is None else list(plain.segments)
        for place, index in enumerate(places):
            ids[index] = edited.ids[place]
            if segments is not None and edited.segments is not None:
                segments[index] = edited.segments[place]
        return TokenRows(tuple(ids), None if segments is None else tuple(segments), plain.pad_id)
