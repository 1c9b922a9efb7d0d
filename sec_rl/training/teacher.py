"""The run's own dense model as a teacher: its outputs are computed once per text and kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.compression.vault import Vault, build_model
from sec_rl.training.batching import TokenRows
from sec_rl.training.optimizer import as_tensors
from sec_rl.training.precision import Precision, autocast
from sec_rl.training.ragged import pack, unpack

TEMPERATURE = 2.0


class Teacher:
    """A frozen copy of a model; answers for pool rows, from memory where it can.

    The last bits of an answer depend on the rows that were padded together. So the teacher remembers which rows it
    answered in one call, and a run that is resumed computes the same calls again.
    """

    def __init__(self, model: SlimEncoderForSequenceClassification, n_rows: int, precision: Precision) -> None:
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self._precision: Precision = precision
        self._logits = torch.zeros(n_rows, model.config.num_labels)
        self._hidden: list[Tensor | None] = [None] * n_rows
        self._layer = _matched_layer(model.config.num_hidden_layers)
        self._calls: list[NDArray[np.int64]] = []
        self._call_of = np.full(n_rows, -1)

    @property
    def layer(self) -> int:
        """Dense index of the layer whose hidden states are matched."""
        return self._layer

    def expect(self, calls: Sequence[NDArray[np.int64]]) -> None:
        """Name the calls that come next, in this process or in another one that trains the same model.

        All of them note all calls: whichever process meets a row again, and whichever state it went on from, computes
        it with the rows that it was padded with at first.
        """
        for indices in calls:
            new = indices[self._call_of[indices] < 0]
            if len(new):
                self._call_of[new] = len(self._calls)
                self._calls.append(new)

    def answer(self, rows: TokenRows, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return logits (n, classes) and padded hidden states (n, sequence, hidden) of pool rows."""
        self.expect([indices])
        unknown = np.array([i for i in indices if self._hidden[i] is None], np.int64)
        for call in np.unique(self._call_of[unknown]):
            self._compute(rows, self._calls[call])
        kept = [hidden for i in indices if (hidden := self._hidden[i]) is not None]
        return self._logits[indices].clone(), torch.nn.utils.rnn.pad_sequence(kept, batch_first=True)

    def state(self) -> dict[str, Any]:
        """Return weights and the calls so far, as arrays."""
        weights = {name: value.numpy() for name, value in self._model.state_dict().items()}
        return {"weights": weights, "calls": pack(self._calls)}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], config: SlimEncoderConfig, n_rows: int, precision: Precision
    ) -> Teacher:
        """Return the teacher that gave `state`: rows that it had answered are answered exactly as they were.

        Args:
            state: from `state`.
            config: of the dense model.
            n_rows: of the pool.
            precision: as then.
        """
        model = build_model(Vault(config, as_tensors(state["weights"])), config.shape())
        teacher = cls(model, n_rows, precision)
        teacher._calls = unpack(state["calls"])
        for number, call in enumerate(teacher._calls):
            teacher._call_of[call] = number
        return teacher

    @torch.inference_mode()
    def _compute(self, rows: TokenRows, indices: NDArray[np.int64]) -> None:
        chosen = rows.take(indices)
        with autocast(self._precision):
            logits, _, after = self._model.encode(**chosen.pad())
        self._logits[indices] = logits.float()
        for place, index in enumerate(indices):
            self._hidden[index] = after[self._layer][place, : len(chosen.ids[place])].to(torch.bfloat16)


def _matched_layer(n_layers: int) -> int:
    # The last layer computes its first position only, so token states are matched one layer below it.
    return max(n_layers - 2, 0)


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence at temperature 2, scaled by its square (Hinton et al. 2015, sec. 2)."""
    student = functional.log_softmax(logits.float() / TEMPERATURE, dim=-1)
    teacher = functional.log_softmax(teacher_logits / TEMPERATURE, dim=-1)
    divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * TEMPERATURE**2


def hidden_loss(hidden: Tensor, teacher_hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of token states, padding left out (TinyBERT, Jiao et al. 2020, eq. 8)."""
    weight = mask.unsqueeze(-1).to(torch.float32)
    difference = (hidden.float() - teacher_hidden.float()).square() * weight
    return difference.sum() / (weight.sum() * hidden.shape[-1])
