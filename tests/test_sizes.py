"""Bytes that are added up from layers are those of a model that is really built."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.compression.export import build_onnx
from sec_rl.compression.shape import EncoderShape, LayerShape
from sec_rl.compression.sizes import ShapeSizes, artefact_bytes
from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification

HEADS, NEURONS, LAYERS = 4, 64, 3
# Segments as BERT has them, relative positions as MPNet has them.
CONFIGS = [
    SlimEncoderConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=NEURONS,
        max_position_embeddings=16,
        relative_buckets=buckets,
    )
    for buckets in (0, 8)
]

layers = st.one_of(
    st.just(LayerShape((), (), present=False)),
    st.builds(
        lambda heads, neurons: LayerShape(tuple(sorted(heads)), tuple(sorted(neurons))),
        st.sets(st.integers(0, HEADS - 1)),
        st.sets(st.integers(0, NEURONS - 1)),
    ),
)


@pytest.mark.parametrize("config", CONFIGS, ids=["segments", "relative positions"])
@given(st.tuples(*[layers] * LAYERS))
def test_bytes_of_a_shape_are_those_of_its_model(config: SlimEncoderConfig, chosen: tuple[LayerShape, ...]) -> None:
    shape = EncoderShape(chosen, HEADS, NEURONS)
    with torch.device("meta"):
        model = SlimEncoderForSequenceClassification(config.with_shape(shape))
    assert ShapeSizes(config).of(shape) == artefact_bytes(model)


@pytest.mark.parametrize(
    "grown", [{"vocab_size": 1050}, {"max_position_embeddings": 1016}, {"intermediate_size": 1088}], ids=str
)
def test_bytes_are_those_of_the_file(grown: dict[str, int]) -> None:
    """What two models differ by is in both files the same graph around other weights."""
    files, predicted = [], []
    for config in (CONFIGS[0], SlimEncoderConfig(**CONFIGS[0].to_dict() | grown)):
        model = SlimEncoderForSequenceClassification(config)
        files.append(len(build_onnx(model, quantized=True).SerializeToString()))
        predicted.append(artefact_bytes(model))
    difference = predicted[1] - predicted[0]
    assert difference > 15_000
    # Lengths of longer weights take a byte or two more.
    assert files[1] - files[0] == pytest.approx(difference, abs=100)


def test_relative_positions_are_counted() -> None:
    """Their table has a byte for each pair of positions: a quarter of a megabyte at 512."""
    files, predicted = [], []
    for longest in (16, 512):
        config = SlimEncoderConfig(**CONFIGS[1].to_dict() | {"max_position_embeddings": longest})
        model = SlimEncoderForSequenceClassification(config)
        files.append(len(build_onnx(model, quantized=True).SerializeToString()))
        predicted.append(artefact_bytes(model))
    assert files[1] - files[0] > 250_000
    assert files[1] - files[0] == pytest.approx(predicted[1] - predicted[0], abs=100)
