"""The latency table of this device: what blocks of each width cost in the exported file."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from sec_rl.compression.cost_table import CostTable
from sec_rl.compression.export import attention_block, ffn_block
from sec_rl.compression.onnx_blocks import GraphBuilder
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.widths import NEURON_GROUP

# Of the dense width. Where there is anything at all, its inputs are quantized and its outputs scaled back, and of a
# narrow block that is most of the time: what is narrowest is measured as well, for no line from nothing shows it.
_SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)


def block_widths(config: SlimEncoderConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of heads and of neurons to measure; what lies between is interpolated."""
    groups = config.intermediate_size / NEURON_GROUP
    heads = np.unique([1, *(round(share * config.num_attention_heads) for share in _SHARES)])
    neurons = NEURON_GROUP * np.unique([min(1, round(groups)), *(round(share * groups) for share in _SHARES)])
    return heads, neurons


def block_models(config: SlimEncoderConfig, *, batch: int, length: int) -> list[onnx.ModelProto]:
    """Return one int8 graph per width, as the exported model holds them.

    Order: attention by heads, feed-forward by neurons, then both again for the last layer.
    """
    heads, neurons = block_widths(config)
    models = []
    for first_only in (False, True):
        models += [_attention(config, int(h), batch, length, first_only=first_only) for h in heads]
        models += [_ffn(config, int(n), batch, 1 if first_only else length) for n in neurons]
    return models


def table_from_times(config: SlimEncoderConfig, times: NDArray[np.float64], fixed_share: float) -> CostTable:
    """Interpolate measured block times to every width.

    Args:
        config: the dense encoder.
        times: milliseconds in the order of `block_models`.
        fixed_share: time of everything that is not a layer, as a share of one dense layer.
    """
    heads, neurons = block_widths(config)
    n, m = len(heads), len(neurons)
    pieces = np.split(times, np.cumsum([n, m, n]))
    grid_heads, grid_neurons = (
        np.arange(config.num_attention_heads + 1),
        np.arange(config.intermediate_size + 1),
    )
    curves = []
    for index, piece in enumerate(pieces):
        measured, grid = (heads, grid_heads) if index % 2 == 0 else (neurons, grid_neurons)
        # Noise must not make a narrower block look dearer than a wider one.
        curves.append(np.interp(grid, measured, np.maximum.accumulate(piece)))
    fixed = fixed_share * float(curves[0][-1] + curves[1][-1])
    return CostTable(curves[0], curves[1], curves[2], curves[3], fixed, "ms")


def _attention(
    config: SlimEncoderConfig, n_heads: int, batch: int, length: int, *, first_only: bool
) -> onnx.ModelProto:
    width, hidden = n_heads * config.head_size, config.hidden_size
    generator = np.random.default_rng(0)
    weights = {
        "b.attention.qkv.weight": _random(generator, 3 * width, hidden),
        "b.attention.qkv.bias": _random(generator, 3 * width),
        "b.attention.output.weight": _random(generator, hidden, width),
        "b.attention.output.bias": _random(generator, hidden),
        "b.attention_norm.weight": _random(generator, hidden),
        "b.attention_norm.bias": _random(generator, hidden),
    }
    graph = GraphBuilder(quantized=True)
    mask = graph.constant("mask", np.zeros((batch, 1, 1, length), np.float32)) if n_heads else None
    output = attention_block(graph, config, weights, "b", "hidden", n_heads, mask, first_only=first_only)
    return _finish(graph, output, (batch, length, hidden), (batch, 1 if first_only else length, hidden))


def _ffn(config: SlimEncoderConfig, n_neurons: int, batch: int, length: int) -> onnx.ModelProto:
    hidden = config.hidden_size
    generator = np.random.default_rng(0)
    weights = {
        "b.ffn_in.weight": _random(generator, n_neurons, hidden),
        "b.ffn_in.bias": _random(generator, n_neurons),
        "b.ffn_out.weight": _random(generator, hidden, n_neurons),
        "b.ffn_out.bias": _random(generator, hidden),
        "b.ffn_norm.weight": _random(generator, hidden),
        "b.ffn_norm.bias": _random(generator, hidden),
    }
    graph = GraphBuilder(quantized=True)
    output = ffn_block(graph, config, weights, "b", "hidden", n_neurons)
    return _finish(graph, output, (batch, length, hidden), (batch, length, hidden))


def _finish(
    graph: GraphBuilder, output: str, shape_in: tuple[int, ...], shape_out: tuple[int, ...]
) -> onnx.ModelProto:
    graph.nodes.append(helper.make_node("Identity", [output], ["updated"]))
    inputs = [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, shape_in)]
    outputs = [helper.make_tensor_value_info("updated", TensorProto.FLOAT, shape_out)]
    return graph.finish(inputs, outputs, "block")


def _random(generator: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return generator.normal(0.0, 0.02, shape).astype(np.float32)
