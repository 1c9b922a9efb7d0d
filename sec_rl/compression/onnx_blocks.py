"""Building blocks of the exported graph: the model and the latency table are made of the same ones.

Standard ONNX operators only, so every runtime can read the file. Int8 follows the dynamic scheme of Jacob et al.
(2018): weights symmetric per output channel, activations asymmetric per tensor and computed at run time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sec_rl.compression.rounding import NIBBLE_CENTRE, pack_nibbles, quantize_nibbles, quantize_rows

OPSET = 20
Array = NDArray[np.float32]


class GraphBuilder:
    """Collects nodes and weights of one graph; every method returns the name of its output."""

    def __init__(self, *, quantized: bool) -> None:
        self.quantized = quantized
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._count = 0

    def name(self, hint: str) -> str:
        """Return a fresh name that starts with `hint`."""
        self._count += 1
        return f"{hint}_{self._count}"

    def constant(self, hint: str, value: NDArray[np.generic]) -> str:
        """Store `value` in the file."""
        name = self.name(hint)
        self.weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, op: str, inputs: list[str], *, n_outputs: int = 1, **attributes: Any) -> list[str]:
        """Add an operator and return its outputs."""
        outputs = [self.name(op.lower()) for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with a single output."""
        return self.node(op, list(inputs), **attributes)[0]

    def linear(self, x: str, weight: Array, bias: Array) -> str:
        """Add ``x @ weight.T + bias``; `weight` is (out, in), `bias` is (out,)."""
        if not self.quantized:
            product = self.op("MatMul", x, self.constant("weight", weight.T))
            return self.op("Add", product, self.constant("bias", bias))
        codes, scales = quantize_rows(weight)
        quantized, scale, zero = self.node("DynamicQuantizeLinear", [x], n_outputs=3)
        product = self.op("MatMulInteger", quantized, self.constant("weight_int8", codes.T), zero)
        scale = self.op("Mul", scale, self.constant("weight_scale", scales))
        product = self.op("Mul", self.op("Cast", product, to=TensorProto.FLOAT), scale)
        return self.op("Add", product, self.constant("bias", bias))

    def lookup(self, table: Array, ids: str) -> str:
        """Add a row look-up in `table` (rows, width); int8 rows carry a scale each."""
        if not self.quantized:
            return self.op("Gather", self.constant("table", table), ids)
        codes, scales = quantize_rows(table)
        rows = self.op("Cast", self.op("Gather", self.constant("table_int8", codes), ids), to=TensorProto.FLOAT)
        return self.op("Mul", rows, self.op("Gather", self.constant("table_scale", scales[:, None]), ids))

    def nibble_lookup(self, table: Array, ids: str) -> str:
        """Add a row look-up in a large `table` (rows, even width), which takes half a byte an entry if quantized.

        Bytes are unpacked by operators on bytes: tensors of 4 bits came to ONNX with opset 21, and few runtimes read
        them.
        """
        if not self.quantized:
            return self.lookup(table, ids)
        codes, scales = quantize_nibbles(table)
        rows = self.op("Gather", self.constant("table_nibbles", pack_nibbles(codes)), ids)
        low = self.op("BitwiseAnd", rows, self.constant("low", np.array(15, np.uint8)))
        high = self.op("BitShift", rows, self.constant("four", np.array(4, np.uint8)), direction="RIGHT")
        whole = self.op("Cast", self.op("Concat", low, high, axis=-1), to=TensorProto.FLOAT)
        centred = self.op("Sub", whole, self.constant("centre", np.array(NIBBLE_CENTRE, np.float32)))
        return self.op("Mul", centred, self.op("Gather", self.constant("table_scale", scales[:, None]), ids))

    def layer_norm(self, x: str, weight: Array, bias: Array, epsilon: float) -> str:
        """Normalise over the last axis."""
        parts = (self.constant("norm_weight", weight), self.constant("norm_bias", bias))
        return self.op("LayerNormalization", x, *parts, axis=-1, epsilon=epsilon)

    def heads(self, x: str, n_heads: int, head_size: int, n_parts: int) -> list[str]:
        """Split (batch, sequence, parts x heads x head size) into `n_parts` of (batch, heads, sequence, size)."""
        shape = self.constant("shape", np.array([0, 0, n_parts * n_heads, head_size], np.int64))
        split = self.op("Transpose", self.op("Reshape", x, shape), perm=[0, 2, 1, 3])
        if n_parts == 1:
            return [split]
        parts = self.constant("parts", np.array([n_heads] * n_parts, np.int64))
        return self.node("Split", [split, parts], n_outputs=n_parts, axis=1)

    def attention(self, query: str, key: str, value: str, head_size: int, bias: str | None) -> str:
        """Add scaled dot-product attention.

        Args:
            query: (batch, heads, queries, head size); `key` and `value`: (batch, heads, sequence, head size).
            bias: additive, broadcast to (batch, heads, queries, sequence); None: none.

        Returns:
            (batch, queries, heads x head size).
        """
        scale = self.constant("scale", np.array(head_size**-0.5, np.float32))
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.op("Mul", scores, scale)
        if bias is not None:
            scores = self.op("Add", scores, bias)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        flat = self.constant("flat", np.array([0, 0, -1], np.int64))
        return self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)

    def finish(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], name: str
    ) -> onnx.ModelProto:
        """Close the graph and return a model without external data."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="sec-rl", ir_version=9
        )
        onnx.checker.check_model(model)
        return model
