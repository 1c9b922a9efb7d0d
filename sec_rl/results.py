"""The schema of `result.json`: what every program that reads a run may rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sec_rl.values import Source

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class Quantiles(BaseModel):
    """Median and 95th percentile of the wall time of one call, in ms."""

    p50: Positive
    p95: Positive


class Latency(BaseModel):
    """Latency of one text, and of 32 at once."""

    model_config = ConfigDict(extra="allow")

    batch1: Quantiles
    batch32: Quantiles


class ModelResult(BaseModel):
    """What is known of one model; None where it was not measured.

    Attributes:
        test_accuracy: in [0, 1], on the test split, touched once.
        validation_accuracy: in [0, 1].
        perplexity: exponential of the masked-token cross-entropy on validation text.
        label_fraction: labels bought over the pool's size, in [0, 1].
        example_passes: examples that went forward and backward.
        train_seconds: wall time of training.
        parameters: a count.
        size_bytes: of the artefact on disk; of the dense model: four bytes per parameter.
        latency_ms: through onnxruntime; of the dense model: eager fp32 PyTorch.
    """

    model_config = ConfigDict(extra="allow")

    test_accuracy: Share | None
    validation_accuracy: Share | None
    perplexity: Positive | None
    label_fraction: Share | None
    example_passes: int | None
    train_seconds: float | None
    parameters: int
    size_bytes: Annotated[int, Field(gt=0)]
    latency_ms: Latency


class RunResult(ModelResult):
    """`result.json` of a finished run.

    Attributes:
        source: whether a model was trained, or the training was simulated.
        dense: the uncompressed fp32 model.
    """

    source: Source
    dense: ModelResult


def fault_in(result: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a result in a few words, or None."""
    try:
        RunResult.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}"
    return None
