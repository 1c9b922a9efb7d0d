"""A learned policy drives real training on a new task: one run, no search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sec_rl.agents.configured import OnTask
from sec_rl.agents.replay_config import replay_config
from sec_rl.agents.run import OnSegment, run


def replay(
    task: str,
    out: str | Path,
    *,
    policy: str | Path | None = None,
    encoder: str = "minilm-l6",
    target_speedup: float | None = None,
    target_size_ratio: float | None = None,
    max_accuracy_drop: float | None = None,
    data_ratio: float = 1.0,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    passes: int | None = None,
    dense_reference: str = "none",
    threads: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    on_task: OnTask | None = None,
    on_segment: OnSegment | None = None,
) -> dict[str, Any]:
    """Fine-tune an encoder on a task, steered by a policy, and measure the small model that comes out.

    Args:
        task: packaged name, folder, csv, jsonl or parquet file, or `hub:NAME[/CONFIG]`.
        out: run folder to create; `out/model` is the artefact.
        policy: policy folder, or `hub:OWNER/NAME[@REVISION]`; None: the one that ships with the package.
        encoder: packaged name, local directory, or hub id.
        target_speedup: dense fp32 latency over the model's to reach at batch 32, at least 1; None: no target.
        target_size_ratio: bytes of the model over those of the dense fp32 model to reach, in (0, 1]; None: no target.
        max_accuracy_drop: points of accuracy, in [0, 100], that may be lost against dense; None: no limit.
        data_ratio: share of the pool's labels, in (0, 1], that may be bought at most.
        text: column of the texts; None: `text`, or what is told by its name.
        text_pair: column of the second texts of pairs; None: `text_pair`, or told with `text`.
        label: column of the labels; None: `label`, or what is told by its name.
        passes: budget of example passes; None: three epochs of the pool, between 3,200 and 24,000.
        dense_reference: `none`, `train` (a dense model with the same passes, too), or the folder of such a run.
        threads: of torch and onnxruntime; None: every core this process may use.
        seed: of every generator.
        overwrite: replace an earlier run in `out`.
        resume: go on with an interrupted run in `out`, bit for bit.
        on_task: called with the checked task before anything is trained.
        on_segment: called with the metrics and the structure after opening and after each segment.

    Returns:
        what `result.json` holds.

    Raises:
        InputError: something that was given cannot be used, a target is out of reach; no folder is left behind.
        RunFolderError: `out` is taken, or holds nothing to resume.
        RunInterruptedError: Ctrl-C or SIGTERM came after the folder was made.

    Examples:
        >>> from sec_rl import replay
        >>> result = replay("mine.csv", "runs/mine", text="review", label="stars", target_speedup=4)
        >>> sorted(result["latency_ms"]["batch32"])
        ['p50', 'p95']
    """
    config = replay_config(
        task=task,
        policy=policy,
        encoder=encoder,
        target_speedup=target_speedup,
        target_size_ratio=target_size_ratio,
        max_accuracy_drop=max_accuracy_drop,
        data_ratio=data_ratio,
        text=text,
        text_pair=text_pair,
        label=label,
        passes=passes,
        dense_reference=dense_reference,
        threads=threads,
        seed=seed,
    )
    return run(config, Path(out), overwrite=overwrite, resume=resume, on_task=on_task, on_segment=on_segment)
