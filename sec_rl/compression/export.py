"""The deployable file: a slim encoder as one self-contained ONNX graph, fp32 or int8."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from sec_rl.compression.onnx_blocks import GraphBuilder
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification, relative_position_buckets

Weights = Mapping[str, NDArray[np.float32]]


def build_onnx(model: SlimEncoderForSequenceClassification, *, quantized: bool) -> onnx.ModelProto:
    """Write a model as an ONNX graph.

    Inputs are `input_ids`, `attention_mask` and, where the architecture has segments, `token_type_ids`, int64
    (batch, sequence); the output is `logits`, float32 (batch, classes).

    Args:
        model: the model to write; its training mode does not matter.
        quantized: store weights as int8 and compute the matrix products in int8; words' embeddings take 4 bits.
    """
    config = model.config
    weights = {name: _numpy(value) for name, value in model.state_dict().items()}
    graph = GraphBuilder(quantized=quantized)
    hidden = _embeddings(graph, config, weights)
    mask = _mask(graph)
    relative = _relative(graph, config, weights)
    present = [(index, layer) for index, layer in enumerate(config.shape().layers) if layer.present]
    for index, layer in present:
        prefix = f"encoder.layers.{index}"
        last = index == present[-1][0]
        bias = mask
        if relative is not None and layer.heads:
            heads = graph.constant("heads", np.array(layer.heads, np.int64))
            own = graph.op("Gather", relative, heads, axis=1)
            bias = graph.op("Add", first_positions(graph, own, axis=2) if last else own, mask)
        hidden = attention_block(graph, config, weights, prefix, hidden, len(layer.heads), bias, first_only=last)
        hidden = ffn_block(graph, config, weights, prefix, hidden, len(layer.neurons))
    first = graph.op("Gather", hidden, graph.constant("first", np.array(0, np.int64)), axis=1)
    pooled = graph.op("Tanh", graph.linear(first, weights["pooler.weight"], weights["pooler.bias"]))
    # The classifier is a few hundred numbers: rounding it would save nothing and cost accuracy.
    product = graph.op("MatMul", pooled, graph.constant("classifier", weights["classifier.weight"].T))
    bias = graph.constant("classifier_bias", weights["classifier.bias"])
    graph.nodes.append(helper.make_node("Add", [product, bias], ["logits"]))
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if config.type_vocab_size else [])
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"]) for n in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", config.num_labels])]
    return graph.finish(inputs, outputs, "slim_encoder")


def first_positions(graph: GraphBuilder, x: str, axis: int) -> str:
    """Keep position 0 of `axis`, as an axis of length one."""
    start, end, along = (graph.constant("slice", np.array([v], np.int64)) for v in (0, 1, axis))
    return graph.op("Slice", x, start, end, along)


def attention_block(
    graph: GraphBuilder,
    config: SlimEncoderConfig,
    weights: Weights,
    prefix: str,
    hidden: str,
    n_heads: int,
    bias: str | None,
    *,
    first_only: bool = False,
) -> str:
    """Add one attention block with its residual and norm; `first_only` attends from the first position alone."""
    name = f"{prefix}.attention"
    queried = first_positions(graph, hidden, axis=1) if first_only else hidden
    if n_heads:
        weight, offset = weights[f"{name}.qkv.weight"], weights[f"{name}.qkv.bias"]
        size, width = config.head_size, n_heads * config.head_size
        if first_only:
            projected = graph.linear(queried, weight[:width], offset[:width])
            query = graph.heads(projected, n_heads, size, 1)[0]
            key, value = graph.heads(graph.linear(hidden, weight[width:], offset[width:]), n_heads, size, 2)
        else:
            query, key, value = graph.heads(graph.linear(hidden, weight, offset), n_heads, size, 3)
        mixed = graph.attention(query, key, value, size, bias)
        update = graph.linear(mixed, weights[f"{name}.output.weight"], weights[f"{name}.output.bias"])
    else:
        update = graph.constant("bias", weights[f"{name}.output.bias"])
    return _residual_norm(graph, config, weights, f"{prefix}.attention_norm", queried, update)


def ffn_block(
    graph: GraphBuilder, config: SlimEncoderConfig, weights: Weights, prefix: str, hidden: str, n_neurons: int
) -> str:
    """Add one feed-forward block with its residual and norm."""
    if n_neurons:
        grown = graph.linear(hidden, weights[f"{prefix}.ffn_in.weight"], weights[f"{prefix}.ffn_in.bias"])
        update = graph.linear(
            graph.op("Gelu", grown), weights[f"{prefix}.ffn_out.weight"], weights[f"{prefix}.ffn_out.bias"]
        )
    else:
        update = graph.constant("bias", weights[f"{prefix}.ffn_out.bias"])
    return _residual_norm(graph, config, weights, f"{prefix}.ffn_norm", hidden, update)


def _residual_norm(
    graph: GraphBuilder, config: SlimEncoderConfig, weights: Weights, name: str, hidden: str, update: str
) -> str:
    total = graph.op("Add", hidden, update)
    return graph.layer_norm(total, weights[f"{name}.weight"], weights[f"{name}.bias"], config.layer_norm_eps)


def _embeddings(graph: GraphBuilder, config: SlimEncoderConfig, weights: Weights) -> str:
    prefix = "encoder.embeddings"
    total = graph.nibble_lookup(weights[f"{prefix}.word.weight"], "input_ids")
    one = graph.constant("one", np.array([1], np.int64))
    length = graph.op("Slice", graph.op("Shape", "input_ids"), one, graph.constant("two", np.array([2], np.int64)))
    length = graph.op("Squeeze", length)
    zero, step = (graph.constant("scalar", np.array(v, np.int64)) for v in (0, 1))
    positions = graph.op("Range", zero, length, step)
    total = graph.op("Add", total, graph.lookup(weights[f"{prefix}.position.weight"], positions))
    if config.type_vocab_size:
        segments = graph.constant("segments", weights[f"{prefix}.segment.weight"])
        total = graph.op("Add", total, graph.op("Gather", segments, "token_type_ids"))
    norm = (weights[f"{prefix}.norm.weight"], weights[f"{prefix}.norm.bias"])
    return graph.layer_norm(total, *norm, config.layer_norm_eps)


def _mask(graph: GraphBuilder) -> str:
    axes = graph.constant("axes", np.array([1, 2], np.int64))
    kept = graph.op("Cast", graph.op("Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    hidden = graph.op("Sub", kept, graph.constant("one", np.array(1.0, np.float32)))
    return graph.op("Mul", hidden, graph.constant("large", np.array(1e4, np.float32)))


def _relative(graph: GraphBuilder, config: SlimEncoderConfig, weights: Weights) -> str | None:
    """Add MPNet's position bias (1, dense heads, sequence, sequence), cut from one table for the longest text."""
    if not config.relative_buckets:
        return None
    longest = config.max_position_embeddings
    buckets = relative_position_buckets(longest, config.relative_buckets).numpy().astype(np.int8)
    table = graph.constant("buckets", buckets)
    start = graph.constant("start", np.array([0, 0], np.int64))
    shape = graph.op("Shape", "input_ids")
    axis = graph.constant("axis", np.array([1, 1], np.int64))
    ends = graph.op("Gather", shape, axis)
    ids = graph.op("Cast", graph.op("Slice", table, start, ends), to=TensorProto.INT64)
    values = graph.op("Gather", graph.constant("relative", weights["encoder.relative.weight"]), ids)
    front = graph.constant("front", np.array([0], np.int64))
    return graph.op("Unsqueeze", graph.op("Transpose", values, perm=[2, 0, 1]), front)


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
