"""Realising a compression ratio in a session: table, choice, slicing of weights and optimizer state."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sec_rl.compression.allocation import choose_shape
from sec_rl.compression.cost_table import CostTable, analytic_table, with_bytes
from sec_rl.compression.importance import ImportanceTracker
from sec_rl.compression.latency_table import block_models, table_from_times
from sec_rl.compression.shape import EncoderShape
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification
from sec_rl.compression.vault import Vault, build_model
from sec_rl.config import PruningConfig
from sec_rl.measurement.blocks import time_onnx_models
from sec_rl.training.optimizer import make_optimizer, optimizer_state

# Share of bytes against time in the cost of a block; see `with_bytes`.
BYTES_SHARE = 0.25
# The unprunable part's share of a dense layer's time where it is not measured.
FIXED_SHARE = 0.1
REFERENCE_BATCH = 32


@dataclass(frozen=True)
class Snapshot:
    """A copy of a session's model, structure and optimizer; see `PruningState.snapshot`."""

    shape: EncoderShape
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, dict[str, torch.Tensor]]
    moments: dict[str, dict[str, torch.Tensor]]
    importance: ImportanceTracker


class PruningState:
    """What is left of the encoder, and everything needed to change it.

    Attributes:
        shape: what is left.
        table: time per block, measured or analytic.
        optimizer: of the current model; its moments are sliced along.
        importance: scores of all heads and neurons.
    """

    def __init__(
        self,
        model: SlimEncoderForSequenceClassification,
        layer_rates: Sequence[float],
        config: PruningConfig,
        table: CostTable,
    ) -> None:
        dense = model.config
        self._layer_rates = layer_rates
        self.shape = dense.shape()
        self.dense_shape = self.shape
        self.table = table
        self._cost = with_bytes(self.table, dense.hidden_size, dense.num_attention_heads, BYTES_SHARE)
        self.importance = ImportanceTracker(self.shape, config.importance)
        self.importance.start_from_weights(model, self.shape)
        self.optimizer = make_optimizer(model, layer_rates, None)
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._vault = Vault(dense, weights)
        self._moments = {
            moment: Vault(dense, {name: torch.zeros_like(value) for name, value in weights.items()})
            for moment in ("exp_avg", "exp_avg_sq")
        }

    @property
    def compression_ratio(self) -> float:
        """Share of the dense prunable cost that is gone."""
        return self._cost.removed_share(self.shape)

    @property
    def predicted_ms(self) -> float | None:
        """Milliseconds per batch of 32 that the table predicts; None without a measured table."""
        return self.table.total_cost(self.shape) if self.table.unit == "ms" else None

    @property
    def latency_ratio(self) -> float:
        """Predicted time over that of the dense model in the same format."""
        return self.latency_ratio_of(self.shape)

    def latency_ratio_of(self, shape: EncoderShape) -> float:
        """Predict the time of a shape over that of the dense model in the same format."""
        return self.table.total_cost(shape) / self.table.total_cost(self.dense_shape)

    def shape_at(self, ratio: float, depth_share: float = 0.0) -> EncoderShape:
        """Return the shape that `realise` would give; nothing changes."""
        return choose_shape(self.shape, self.importance, self._cost, ratio, depth_share=depth_share)

    def preview(
        self, model: SlimEncoderForSequenceClassification, shape: EncoderShape
    ) -> SlimEncoderForSequenceClassification:
        """Return a model of another shape with the present weights; the session's own stays as it is."""
        self._vault.absorb(model.state_dict(), self.shape)
        return build_model(self._vault, shape)

    def fit_table(self, dense_ms: float, shape: EncoderShape, shape_ms: float) -> None:
        """Fit what is fixed, and the scale of the blocks, to the times of two whole models.

        Args:
            dense_ms: of the dense model.
            shape: of the other; `shape_ms`: its time.
        """
        dense_blocks, blocks = self.table.prunable_cost(self.dense_shape), self.table.prunable_cost(shape)
        # A noisy clock must not make blocks free, or what is fixed negative.
        scale = max((dense_ms - shape_ms) / (dense_blocks - blocks), 0.1 * dense_ms / dense_blocks)
        scale = min(scale, dense_ms / dense_blocks)
        self.table = self.table.scaled(scale, dense_ms - scale * dense_blocks)

    def snapshot(self, model: SlimEncoderForSequenceClassification) -> Snapshot:
        """Copy everything that `realise` and training change."""
        self._vault.absorb(model.state_dict(), self.shape)
        return Snapshot(
            self.shape,
            {name: value.clone() for name, value in self._vault.tensors.items()},
            optimizer_state(model, self.optimizer),
            {
                moment: {name: value.clone() for name, value in vault.tensors.items()}
                for moment, vault in self._moments.items()
            },
            copy.deepcopy(self.importance),
        )

    def restore(self, snapshot: Snapshot) -> SlimEncoderForSequenceClassification:
        """Return the model of a snapshot; state and optimizer are as they were then."""
        self.shape, self.importance = snapshot.shape, snapshot.importance
        self._vault.tensors = snapshot.weights
        for moment, tensors in snapshot.moments.items():
            self._moments[moment].tensors = tensors
        model = build_model(self._vault, self.shape)
        steps = max((float(step) for step in snapshot.optimizer["step"].values()), default=0.0)
        self.optimizer = make_optimizer(model, self._layer_rates, snapshot.optimizer if steps else None)
        return model

    def realise(
        self, model: SlimEncoderForSequenceClassification, ratio: float, depth_share: float
    ) -> SlimEncoderForSequenceClassification:
        """Return a model with `ratio` of the prunable cost removed; the same one when nothing changes."""
        shape = self.shape_at(ratio, depth_share)
        if shape == self.shape:
            return model
        self._vault.absorb(model.state_dict(), self.shape)
        state = optimizer_state(model, self.optimizer)
        for moment, vault in self._moments.items():
            vault.absorb(state[moment], self.shape)
        steps = max((float(step) for step in state["step"].values()), default=0.0)
        smaller = build_model(self._vault, shape)
        smaller.train(model.training)
        sliced = {moment: vault.extract(shape) for moment, vault in self._moments.items()}
        step = {name: torch.tensor(steps) for name, _ in smaller.named_parameters()}
        self.optimizer = make_optimizer(smaller, self._layer_rates, sliced | {"step": step} if steps else None)
        self.shape = shape
        return smaller


def cost_table(
    model: SlimEncoderForSequenceClassification, config: PruningConfig, threads: int, length: int
) -> CostTable:
    """Return what blocks of each width cost: measured on this device in int8, or counted.

    Args:
        model: the dense encoder.
        config: says which.
        threads: of onnxruntime.
        length: tokens per text; the batch holds 32.
    """
    if config.cost == "flops":
        dense = model.config
        return analytic_table(
            dense.hidden_size,
            dense.num_attention_heads,
            dense.intermediate_size,
            batch=REFERENCE_BATCH,
            length=length,
            fixed_share=FIXED_SHARE,
        )
    models = block_models(model.config, batch=REFERENCE_BATCH, length=length)
    times = time_onnx_models([m.SerializeToString() for m in models], threads=threads)
    return table_from_times(model.config, times, FIXED_SHARE)
