"""Rounding: half a byte an entry is near enough, packs without loss, and comes out of the exported graph the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper

from sec_rl.compression.onnx_blocks import GraphBuilder
from sec_rl.compression.rounding import NIBBLE_CENTRE, quantize_nibbles, quantize_rows

TABLE = np.random.default_rng(0).normal(size=(300, 384)).astype(np.float32)

numbers = st.floats(-1e3, 1e3, width=32).filter(lambda value: value == 0.0 or abs(value) > 1e-20)


def _rounded(table: np.ndarray) -> np.ndarray:
    codes, scales = quantize_nibbles(table)
    assert codes.dtype == np.uint8
    assert codes.max(initial=0) <= 15
    return (codes - np.float32(NIBBLE_CENTRE)) * scales[:, None]


@given(arrays(np.float32, (3, 8), elements=numbers))
def test_no_entry_is_further_off_than_what_was_clipped(table: np.ndarray) -> None:
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(_rounded(table) - table) <= 0.41 * largest).all()
    # Rows of nothing stay nothing: they pad.
    assert not _rounded(np.zeros_like(table)).any()


def test_clipping_extremes_loses_less_than_keeping_them() -> None:
    """Half of a step of the whole range, uniformly, is what a broken search would lose."""
    error = np.linalg.norm(_rounded(TABLE) - TABLE) / np.linalg.norm(TABLE)
    kept = np.abs(TABLE).max(axis=1) / 8.0 / np.sqrt(12.0)
    assert error < 0.11 < float(np.sqrt((kept**2).mean()))


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_graph_looks_up_what_was_rounded(shape: tuple[int, ...]) -> None:
    ids = np.random.default_rng(1).integers(len(TABLE), size=shape)
    for quantized, wanted in ((True, _rounded(TABLE)), (False, TABLE)):
        graph = GraphBuilder(quantized=quantized)
        found = graph.nibble_lookup(TABLE, "ids")
        inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, list(shape))]
        outputs = [helper.make_tensor_value_info(found, TensorProto.FLOAT, [*shape, TABLE.shape[1]])]
        content = graph.finish(inputs, outputs, "lookup").SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"ids": ids})[0], wanted[ids], rtol=1e-6)
        if quantized:
            assert len(content) < TABLE.size // 2 + 4 * len(TABLE) + 2_000


def test_bytes_are_nearer_than_nibbles() -> None:
    codes, scales = quantize_rows(TABLE)
    assert np.linalg.norm(codes * scales[:, None] - TABLE) < 0.1 * np.linalg.norm(_rounded(TABLE) - TABLE)
