"""The encoder that is trained, pruned and exported: one post-norm transformer for the BERT family.

Every architecture is read into this one module (see `adapters`), so slicing, training and export are written
once. Layers may differ in width; a block with nothing left keeps only its bias and its norm; a dropped layer is
absent. There is no dropout: a pruned model has nothing to spare for it, and a dense model that trained with it would
change its ways the moment the first structure goes.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from sec_rl.compression.shape import LayerShape
from sec_rl.compression.slim_config import SlimEncoderConfig


class BiasOnly(nn.Module):
    """What stays of an output projection whose inputs are all gone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))


class SlimAttention(nn.Module):
    """Multi-head self-attention with the kept heads only; query, key and value share one matrix product."""

    def __init__(self, config: SlimEncoderConfig, heads: tuple[int, ...]) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = config.head_size
        width = len(heads) * config.head_size
        self.qkv = nn.Linear(config.hidden_size, 3 * width) if heads else None
        self.output = nn.Linear(width, config.hidden_size) if heads else BiasOnly(config.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None, relative: Tensor | None, n_queries: int) -> Tensor:
        """Attend from the first `n_queries` positions to all of them.

        Args:
            hidden: (batch, sequence, hidden).
            mask: (batch, 1, 1, sequence) additive, 0 or a large negative number; None: nothing is masked.
            relative: (1, dense heads, sequence, sequence) additive bias, or None.
            n_queries: positions to attend from, in [1, sequence].

        Returns:
            (batch, n_queries, hidden).
        """
        batch, length, _ = hidden.shape
        if self.qkv is None:
            return self.output.bias.expand(batch, n_queries, -1)
        n_heads = len(self.heads)
        if n_queries == length:
            qkv = self.qkv(hidden).view(batch, length, 3, n_heads, self.head_size)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
        else:
            width = n_heads * self.head_size
            weight, offset = self.qkv.weight, self.qkv.bias
            query = functional.linear(hidden[:, :n_queries], weight[:width], offset[:width])
            query = query.view(batch, n_queries, n_heads, self.head_size).transpose(1, 2)
            rest = functional.linear(hidden, weight[width:], offset[width:])
            key, value = rest.view(batch, length, 2, n_heads, self.head_size).permute(2, 0, 3, 1, 4)
        bias = mask
        if relative is not None:
            own = relative[:, list(self.heads), :n_queries]
            bias = own if mask is None else own + mask
        if bias is not None:
            bias = bias.to(query.dtype)
        # Written out: on a CPU, PyTorch's fused kernel was four times slower here, forward and backward, for texts
        # of up to 100 tokens.
        scores = torch.matmul(query * self.head_size**-0.5, key.transpose(-1, -2))
        if bias is not None:
            scores = scores + bias
        mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
        return cast(Tensor, self.output(mixed.transpose(1, 2).reshape(batch, n_queries, -1)))


class SlimLayer(nn.Module):
    """One post-norm transformer layer with what is left of it."""

    def __init__(self, config: SlimEncoderConfig, shape: LayerShape) -> None:
        super().__init__()
        hidden, neurons = config.hidden_size, len(shape.neurons)
        self.attention = SlimAttention(config, shape.heads)
        self.attention_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.ffn_in = nn.Linear(hidden, neurons) if neurons else None
        self.ffn_out = nn.Linear(neurons, hidden) if neurons else BiasOnly(hidden)
        self.ffn_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, mask: Tensor | None, relative: Tensor | None, n_queries: int) -> Tensor:
        """Map (batch, sequence, hidden) to (batch, n_queries, hidden), the first positions only."""
        attended = self.attention(hidden, mask, relative, n_queries)
        hidden = self.attention_norm(hidden[:, :n_queries] + attended)
        if self.ffn_in is None:
            grown = self.ffn_out.bias.expand_as(hidden)
        else:
            grown = self.ffn_out(functional.gelu(self.ffn_in(hidden)))
        return cast(Tensor, self.ffn_norm(hidden + grown))


class SlimEmbeddings(nn.Module):
    """Sum of word, position and (where the architecture has them) segment embeddings, normalised."""

    def __init__(self, config: SlimEncoderConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.segment = nn.Embedding(config.type_vocab_size, config.hidden_size) if config.type_vocab_size else None
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Embed (batch, sequence) ids as (batch, sequence, hidden)."""
        total = self.word(input_ids) + self.position.weight[: input_ids.shape[1]]
        if self.segment is not None:
            total = total + (self.segment.weight[0] if token_type_ids is None else self.segment(token_type_ids))
        return cast(Tensor, self.norm(total))


def relative_position_buckets(length: int, n_buckets: int, max_distance: int = 128) -> Tensor:
    """Return T5's bidirectional buckets of relative positions, (length, length) of int64 (Raffel et al. 2020)."""
    position = torch.arange(length)
    distance = position[:, None] - position[None, :]
    half = n_buckets // 2
    exact = half // 2
    bucket = (distance < 0).long() * half
    distance = distance.abs()
    scale = math.log(max_distance / exact)
    far = exact + (torch.log(distance.clamp(min=1).float() / exact) / scale * (half - exact)).long()
    return bucket + torch.where(distance < exact, distance, far.clamp(max=half - 1))


class SlimEncoder(nn.Module):
    """Embeddings and the layers that are left."""

    def __init__(self, config: SlimEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = SlimEmbeddings(config)
        shape = config.shape()
        self.layers = nn.ModuleDict(
            {str(i): SlimLayer(config, layer) for i, layer in enumerate(shape.layers) if layer.present}
        )
        buckets = config.relative_buckets
        self.relative = nn.Embedding(buckets, config.num_attention_heads) if buckets else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        *,
        all_positions: bool = False,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Encode a batch of shape (batch, sequence).

        The classifier reads the first position only, so the last layer computes no other unless it is asked to:
        the same logits for about a sixth less work in a 6-layer encoder.

        Returns:
            the last hidden state and, per dense layer index, the hidden state after that layer, each
            (batch, sequence, hidden), or (batch, 1, hidden) for the last layer without `all_positions`.
        """
        hidden = self.embeddings(input_ids, token_type_ids)
        mask = None
        if attention_mask is not None:
            mask = (1.0 - attention_mask[:, None, None, :].to(hidden.dtype)) * -1e4
        relative = None
        if self.relative is not None:
            buckets = relative_position_buckets(input_ids.shape[1], self.config.relative_buckets)
            relative = self.relative(buckets.to(input_ids.device)).permute(2, 0, 1)[None]
        after: dict[int, Tensor] = {}
        last = list(self.layers)[-1] if self.layers else None
        for name, layer in self.layers.items():
            n_queries = 1 if name == last and not all_positions else hidden.shape[1]
            hidden = layer(hidden, mask, relative, n_queries)
            after[int(name)] = hidden
        return hidden, after


class SlimEncoderForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
    """The slim encoder with a pooler on the first token and a linear classifier.

    Attributes:
        has_drawn_head: the classifier was drawn at random, not read.
    """

    config_class = SlimEncoderConfig
    base_model_prefix = "encoder"

    def __init__(self, config: SlimEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = SlimEncoder(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.has_drawn_head = True
        self.post_init()

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Return logits (batch, classes), pooled vectors (batch, hidden) and hidden states per layer."""
        hidden, after = self.encoder(input_ids, attention_mask, token_type_ids)
        pooled = torch.tanh(self.pooler(hidden[:, 0]))
        return self.classifier(pooled), pooled, after

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **_: object,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Classify (batch, sequence) ids; with `labels` (batch,) of int64 the loss is mean cross-entropy.

        A Trainer that accumulates gradients gives the number of rows of all of a step's batches; the sum over this
        batch is then divided by that.
        """
        logits, _pooled, _after = self.encode(input_ids, attention_mask, token_type_ids)
        loss = None
        if labels is not None:
            n_items = labels.numel() if num_items_in_batch is None else num_items_in_batch
            loss = functional.cross_entropy(logits.float(), labels, reduction="sum") / n_items
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return SequenceClassifierOutput(loss=loss, logits=logits)
