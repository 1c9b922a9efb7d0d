"""The masked-language-model head that is trained alongside when perplexity is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from sec_rl.compression.rounding import NIBBLE_CENTRE, quantize_nibbles, quantize_rows, stored_as
from sec_rl.compression.slim_encoder import SlimEncoder
from sec_rl.training.batching import BatchStream, TokenRows
from sec_rl.training.optimizer import as_tensors, optimizer_state, restore_optimizer
from sec_rl.training.precision import Precision, autocast
from sec_rl.training.replicas import ALONE, Replicas

MASKED_SHARE = 0.15
# Weight of its loss against the classifier's, and how many steps pass between two of its own: it reads what the
# encoder keeps of the language, and should not decide what it learns.
LOSS_WEIGHT, EVERY = 0.1, 4
# No label: cross-entropy leaves these positions out.
_IGNORED = -100
# A fresh head learns faster than a pre-trained encoder.
_HEAD_RATE = 1e-3


class MaskedLanguageHead(nn.Module):
    """Transform, norm and a decoder tied to the word embeddings, as in BERT (Devlin et al. 2019, appendix A.2)."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.transform = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """Map (n, hidden) states to (n, vocabulary) logits; `words` is the (vocabulary, hidden) embedding."""
        return functional.linear(self.norm(functional.gelu(self.transform(hidden))), words, self.bias)


class MaskedLanguageModel:
    """The head, its optimizer, its texts and its masks.

    It reads texts of the whole pool, whoever's labels are bought: only labels cost.

    Args:
        hidden: width of the hidden state; it is never pruned, so the head outlives every change of shape.
        tokenizer: names the mask and the special tokens.
        vocabulary: word pieces of the encoder.
        rows: texts it learns from; `batch_size`: of them at once.
        seed: of the head's weights, of the texts' order and of the masks.
    """

    def __init__(
        self,
        hidden: int,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary: int,
        rows: TokenRows,
        batch_size: int,
        seed: int,
    ) -> None:
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.head = MaskedLanguageHead(hidden, vocabulary)
        torch.random.set_rng_state(state)
        self._optimizer = torch.optim.AdamW(self.head.parameters(), lr=_HEAD_RATE)
        self._special = np.array(sorted(tokenizer.all_special_ids), np.int64)
        self._mask_id, self._vocabulary = int(tokenizer.mask_token_id), vocabulary
        self.rows, self._texts = rows, BatchStream(rows.lengths, batch_size, seed + 2)
        self._texts.use(np.arange(len(rows)))
        self._generator = np.random.default_rng([seed, 7])
        self._steps = 0

    def loss(self, encoder: SlimEncoder, precision: Precision, replicas: Replicas = ALONE) -> Tensor | None:
        """Return the weighted loss of a batch, or what this process adds to it; None on the steps between.

        All processes draw the texts and the masks of the whole batch, so that their generators stay together.
        """
        self._steps += 1
        if (self._steps - 1) % EVERY:
            return None
        rows = self.rows.take(self._texts.next())
        inputs, labels = self._mask(rows, self._generator)
        hidden = int((labels != _IGNORED).sum())
        if not hidden:
            return None
        places, share = replicas.part(len(rows))
        with autocast(precision):
            logits = self._predict(encoder, {name: each[places] for name, each in inputs.items()}, labels[places])
        own = labels[places]
        loss = functional.cross_entropy(logits.float(), own[own != _IGNORED], reduction="sum")
        return LOSS_WEIGHT * (1.0 if share else 0.0) / hidden * loss

    def step(self) -> None:
        """Move the head along the gradients that `backward` left."""
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return head, optimizer, texts, masks and steps: arrays and JSON-ready values."""
        moments = optimizer_state(self.head, self._optimizer)
        return {
            "head": {name: value.numpy() for name, value in self.head.state_dict().items()},
            "moments": {key: {n: v.numpy() for n, v in values.items()} for key, values in moments.items()},
            "texts": self._texts.state(),
            "generator": self._generator.bit_generator.state,
            "steps": self._steps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the model was that gave `state`."""
        self.head.load_state_dict(as_tensors(state["head"]))
        moments = {key: as_tensors(values) for key, values in state["moments"].items()}
        restore_optimizer(self.head, self._optimizer, moments)
        self._texts.restore(state["texts"])
        self._generator.bit_generator.state = state["generator"]
        self._steps = state["steps"]

    @torch.inference_mode()
    def perplexity(
        self, encoder: SlimEncoder, rows: TokenRows, seed: int, words: Tensor | None = None, batch_size: int = 64
    ) -> float | None:
        """Return the exponential of the mean cross-entropy of masked tokens, at least 1; None where none was masked.

        Args:
            encoder: in fp32; is scored in eval mode.
            rows: validation texts.
            seed: of the masks: the same for every model that is compared.
            words: (vocabulary, hidden), what the head decodes with; None: the encoder's own. The head is not
                exported, so of a rounded encoder they are the words before rounding.
            batch_size: texts at once.
        """
        was_training = encoder.training
        encoder.eval()
        self.head.eval()
        generator, total, count = np.random.default_rng(seed), 0.0, 0
        for batch in _batches(rows, batch_size):
            inputs, labels = self._mask(batch, generator)
            hidden = labels[labels != _IGNORED]
            logits = self._predict(encoder, inputs, labels, words)
            total += float(functional.cross_entropy(logits, hidden, reduction="sum"))
            count += len(hidden)
        self.head.train()
        encoder.train(was_training)
        return math.exp(total / count) if count else None

    def _mask(self, rows: TokenRows, generator: np.random.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Return padded rows with tokens hidden, and the (n, sequence) labels."""
        inputs = rows.pad()
        ids, labels = mask_tokens(
            inputs["input_ids"].numpy(),
            special=np.append(self._special, rows.pad_id),
            mask_id=self._mask_id,
            vocabulary=self._vocabulary,
            generator=generator,
        )
        return inputs | {"input_ids": torch.from_numpy(ids)}, torch.from_numpy(labels)

    def _predict(
        self, encoder: SlimEncoder, inputs: Mapping[str, Tensor], labels: Tensor, words: Tensor | None = None
    ) -> Tensor:
        """Return the (hidden tokens, vocabulary) logits."""
        states, _ = encoder(
            inputs["input_ids"], inputs["attention_mask"], inputs.get("token_type_ids"), all_positions=True
        )
        decoder = encoder.embeddings.word.weight if words is None else words
        found: Tensor = self.head(states[labels != _IGNORED], decoder)
        return found


def mask_tokens(
    ids: NDArray[np.int64],
    *,
    special: NDArray[np.int64],
    mask_id: int,
    vocabulary: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hide 15 % of the tokens: 80 % of them become the mask, 10 % another token, 10 % stay (Devlin et al. 2019).

    Args:
        ids: (batch, sequence).
        special: ids that are never hidden.
        mask_id: of the mask.
        vocabulary: other tokens are drawn below it.
        generator: decides.

    Returns:
        what the encoder reads, and what it has to find, -100 where nothing is hidden; both (batch, sequence).
    """
    hidden = (generator.random(ids.shape) < MASKED_SHARE) & ~np.isin(ids, special)
    fate = generator.random(ids.shape)
    drawn = generator.integers(vocabulary, size=ids.shape)
    read = np.where(hidden & (fate < 0.8), mask_id, ids)
    read = np.where(hidden & (fate >= 0.8) & (fate < 0.9), drawn, read)
    return read, np.where(hidden, ids, _IGNORED)


@torch.no_grad()
def round_as_exported(encoder: nn.Module) -> None:
    """Round an encoder's matrices as its export does, and back, in place: activations stay exact."""
    for name, parameter in encoder.named_parameters():
        stored = stored_as(name, parameter.ndim)
        if stored == "nibbles":
            nibbles, scales = quantize_nibbles(parameter.numpy())
            parameter.copy_(torch.from_numpy((nibbles - np.float32(NIBBLE_CENTRE)) * scales[:, None]))
        elif stored == "bytes":
            codes, scales = quantize_rows(parameter.numpy())
            parameter.copy_(torch.from_numpy(codes.astype(np.float32) * scales[:, None]))


def _batches(rows: TokenRows, batch_size: int) -> Iterator[TokenRows]:
    order = np.argsort(rows.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield rows.take(order[start : start + batch_size])
