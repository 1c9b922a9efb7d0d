"""The schema of `result.json`: what every program that reads a run may rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sec_rl.values import Source

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Some = Annotated[int, Field(ge=1, le=1_000_000)] | None
Count = Annotated[int, Field(ge=0, le=1_000_000)]


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
        macro_f1: mean F1 over the classes, on the test split.
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
    macro_f1: Share | None = None


class Clock(BaseModel):
    """How latency was taken, as far as it is read again."""

    model_config = ConfigDict(extra="allow")

    threads: Some = None
    sequence_length: Some = None
    rounds: Some = None
    max_rounds: Some = None
    spread: dict[str, NotNegative] | None = None
    spread_limit: NotNegative | None = None


class RunResult(ModelResult):
    """`result.json` of a finished run.

    Attributes:
        source: whether a model was trained, or the training was simulated.
        task: as it was given; `task_fingerprint`: of its rows, `test_rows`: of its test split.
        budget: example passes that the run had to spend.
        encoder: as it was given; `warm_start`: what the run started from instead, if anything.
        dense: the uncompressed fp32 model.
        latency_settings: how latency was taken.
        machine: what it was taken on.
        notes: a sentence each.
    """

    source: Source
    task: str | None = None
    task_fingerprint: str | None = None
    test_rows: Annotated[int, Field(ge=1)] | None = None
    budget: Annotated[int, Field(ge=1)] | None = None
    encoder: str | None = None
    warm_start: str | None = None
    dense: ModelResult
    latency_settings: Clock | None = None
    machine: dict[str, Any] | None = None
    notes: list[str] | None = None


class Structure(BaseModel):
    """What is left of every dense layer."""

    heads: list[Count]
    ffn: list[Count]
    dense_heads: Annotated[int, Field(gt=0, le=1_000_000)]
    dense_ffn: Annotated[int, Field(gt=0, le=1_000_000)]


class SegmentMetrics(BaseModel):
    """The metrics that a report shows."""

    data_ratio: Share
    compression_ratio: Share
    validation_accuracy: Share
    size_ratio: NotNegative
    latency_ratio: NotNegative


class SegmentLine(BaseModel):
    """A line of `trajectory.jsonl`, as far as a report shows it."""

    segment: Count
    metrics: SegmentMetrics
    structure: Structure


def started_from(result: Mapping[str, Any]) -> str:
    """Return the name, folder or hub id of the dense encoder that a run compares itself with."""
    return str(result.get("warm_start") or result["encoder"])


def segment_fault(line: Any) -> str | None:
    """Return what is wrong with a line of `trajectory.jsonl` in a few words, or None."""
    return _fault(SegmentLine, line)


def fault_in(result: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a result in a few words, or None."""
    return _fault(RunResult, result)


def _fault(schema: type[BaseModel], values: Any) -> str | None:
    try:
        schema.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}"
    return None
