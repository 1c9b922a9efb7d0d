"""The arms of the paper's experiment: dense fine-tuning, one technique each, their sequence, and the combination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from benchmarks.options import Options
from benchmarks.runs import RunSpec

# Whoever asks for a model as small and fast as the criteria want names that; nothing else is said of the task. With
# the baseline's vocabulary its perplexity compares.
_ASKED = {
    "preference.target-speedup": "6.1",
    "preference.target-size-ratio": "0.145",
    "pruning.vocabulary": "full",
}
# Half of the labels are a condition, and nothing is gained by buying fewer.
_LABELS = {"data-ratio": "0.5", "preference.label-weight": "0"}
# A head that starts from a linear probe is a technique of transfer; plain fine-tuning draws it.
_PLAIN = {"pruning.vocabulary": "full", "transfer.head": "drawn"}
_DENSE = {"schedule": "dense", "compression-ratio": "0", **_PLAIN}
_HALF = {"schedule": "cubic", "compression-ratio": "0.5", **_PLAIN}


@dataclass(frozen=True)
class Arm:
    """One row of the tables.

    Attributes:
        technique: what it does, for the reader.
        flags: of `sec-rl run`.
        format: what is deployed: `fp32` weights in eager PyTorch, or the `int8` file in onnxruntime.
        training: the arm whose training run it shares; None: its own.
    """

    technique: str
    flags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    format: Literal["fp32", "int8"] = "fp32"
    training: str | None = None


BASELINE, SEC, SEQUENTIAL = "baseline", "sec", "sequential"
ARMS: Mapping[str, Arm] = {
    BASELINE: Arm("dense fine-tuning on all labels", _DENSE),
    "augmentation": Arm("edited copies in 30 % of a batch (EDA)", _DENSE | {"levers.augmentation-share": "0.3"}),
    "transfer": Arm(
        "the head from a linear probe, rates that fall by 0.9 per layer from the top",
        _DENSE | {"transfer.head": "fitted", "transfer.layer-decay": "0.9"},
    ),
    "active": Arm("half of the labels, by margin", _DENSE | {"data-ratio": "0.5", "selection": "margin"}),
    "semi-supervised": Arm(
        "half of the labels, at random; pseudo-labels in 30 % of a batch",
        _DENSE | {"data-ratio": "0.5", "selection": "random", "levers.pseudo-label-share": "0.3"},
    ),
    "pruning": Arm("half of the prunable cost removed, no teacher", _HALF | {"levers.distillation-weight": "0"}),
    "quantization": Arm("int8 of the baseline, its words in 4 bits", format="int8", training=BASELINE),
    "distillation": Arm(
        "half of the cost as whole layers, half of the loss from the run's own dense teacher",
        _HALF | {"levers.depth-share": "1", "levers.distillation-weight": "0.5"},
    ),
    SEC: Arm(
        "the shipped policy, replayed within half of the labels", {"schedule": "policy", **_LABELS, **_ASKED}, "int8"
    ),
}
ALL_ARMS: Mapping[str, Arm] = {
    **ARMS,
    # Its runs depend on what the others gave, see `sequential_specs`.
    SEQUENTIAL: Arm(
        "the best data technique, then pruning, distillation and int8 within the same limits", format="int8"
    ),
}
# What a sequential pipeline chooses from, by validation accuracy.
DATA_ARMS = (BASELINE, "augmentation", "transfer", "active", "semi-supervised")
# What it does after that, from the model that the data technique gave, asked for the same size and speed as the
# combination: accuracy is what they can differ in.
_COMPRESSED = {"schedule": "cubic", "compression-ratio": "0.5", **_ASKED}


def run_name(task: str, arm: str, seed: int) -> str:
    """Return the name of an arm's run, and of its folder."""
    return f"{task}/{ALL_ARMS[arm].training or arm}-seed{seed}"


def data_stage(task: str, seed: int) -> str:
    """Return the name of the sequence's first run."""
    return f"{task}/{SEQUENTIAL}-data-seed{seed}"


def specs(options: Options, task: str, passes: int) -> list[RunSpec]:
    """Return the runs of all arms of a task; seeds vary slowest, so that an early stop leaves whole comparisons."""
    return [
        RunSpec(run_name(task, name, seed), _common(options, task, passes, seed) | dict(arm.flags))
        for seed in options.seeds
        for name, arm in ARMS.items()
        if arm.training is None
    ]


def sequential_specs(options: Options, task: str, passes: int, data_arm: str) -> tuple[list[RunSpec], list[RunSpec]]:
    """Return the two stages of the sequential pipeline, half of the passes each.

    Args:
        options: of the benchmark.
        task: name of the task.
        passes: of a whole run.
        data_arm: the best of `DATA_ARMS` on this task.
    """
    first, second = [], []
    own = dict(ARMS[data_arm].flags)
    for seed in options.seeds:
        common = _common(options, task, passes // 2, seed)
        first.append(RunSpec(data_stage(task, seed), common | own))
        start = {"transfer.warm-start": str((options.out / data_stage(task, seed) / "model").resolve())}
        second.append(RunSpec(run_name(task, SEQUENTIAL, seed), common | own | _COMPRESSED | start))
    return first, second


def best_data_arm(accuracies: Mapping[str, Sequence[float]]) -> str:
    """Return the arm of `DATA_ARMS` with the highest mean validation accuracy; `accuracies` holds one per seed."""
    return max(DATA_ARMS, key=lambda arm: sum(accuracies[arm]) / len(accuracies[arm]))


def _common(options: Options, task: str, passes: int, seed: int) -> dict[str, str]:
    return {
        "task": str(options.task_folder(task)),
        "encoder": options.encoder,
        "passes": str(passes),
        "seed": str(seed),
        "threads": str(options.threads_per_run),
        # The same rows for all arms, or reaching the baseline would mean different things.
        "validation-rows": "300",
        # Latency is timed afterwards, all arms against each other.
        "latency-rounds": "1",
        "perplexity": "",
    }
