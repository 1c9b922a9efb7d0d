"""Configuration of the slim encoder: a BERT-family architecture plus what pruning left of it."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from sec_rl.compression.shape import EncoderShape, LayerShape


class SlimEncoderConfig(PreTrainedConfig):  # type: ignore[misc]
    """A post-norm encoder whose layers may differ in width.

    Attributes:
        base_model_type: architecture the weights come from, a key of `ADAPTERS`.
        num_attention_heads: heads of a dense layer; the width of a head is `hidden_size` over it.
        intermediate_size: FFN neurons of a dense layer.
        num_hidden_layers: layers of the dense encoder.
        relative_buckets: buckets of a shared relative position bias (MPNet); 0 when there is none.
        kept_heads: per dense layer the kept head indices; None: all of them.
        kept_neurons: per dense layer the number of kept FFN neurons; None: all of them.
        dropped_layers: indices of dense layers that are skipped.
    """

    model_type = "sec_rl_encoder"

    base_model_type: str = "bert"
    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    relative_buckets: int = 0
    pad_token_id: int | None = 0
    kept_heads: list[Any] | None = None
    kept_neurons: list[Any] | None = None
    dropped_layers: list[Any] | None = None

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return int(self.hidden_size) // int(self.num_attention_heads)

    def shape(self) -> EncoderShape:
        """Return what is left; neuron identities are not stored, so the first ones stand for them."""
        dense = EncoderShape.dense(self.num_hidden_layers, self.num_attention_heads, self.intermediate_size)
        layers = []
        for index, layer in enumerate(dense.layers):
            if index in (self.dropped_layers or []):
                layers.append(LayerShape((), (), present=False))
                continue
            heads = layer.heads if self.kept_heads is None else tuple(self.kept_heads[index])
            neurons = layer.neurons if self.kept_neurons is None else tuple(range(self.kept_neurons[index]))
            layers.append(LayerShape(heads, neurons))
        return EncoderShape(tuple(layers), self.num_attention_heads, self.intermediate_size)

    def with_shape(self, shape: EncoderShape) -> SlimEncoderConfig:
        """Return a copy that describes `shape`."""
        values = self.to_dict()
        values.pop("model_type", None)
        values["kept_heads"] = [list(layer.heads) for layer in shape.layers]
        values["kept_neurons"] = [len(layer.neurons) for layer in shape.layers]
        values["dropped_layers"] = shape.skipped
        return SlimEncoderConfig(**values)
