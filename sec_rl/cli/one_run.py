"""`run` and `replay`: one training run, under a schedule or under a policy."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sec_rl.cli.application import QUICK_PASSES, app
from sec_rl.cli.groups import BUDGET, CLOCK, CONTROL, FOLDER, LEARNED, TASK, WISHES, RunFlags
from sec_rl.cli.tracked import open_tracking
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.launched import speaks

if TYPE_CHECKING:
    from sec_rl.values import Metrics


@app.command(group=LEARNED, group_parameters=FOLDER)
def run(
    *,
    config: Annotated[RunFlags, Parameter(name="*")],
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    config_file: Annotated[Path | None, Parameter(name="--config")] = None,
    print_config: bool = False,
    dry_run: bool = False,
    tracker: str | None = None,
    quiet: bool = False,
) -> None:
    """Train under a schedule, export a small int8 model, and measure it.

    Example: sec-rl run --task movie-reviews --schedule cubic --compression-ratio 0.5 --out runs/first

    Parameters
    ----------
    config
        The run; see the flags.
    out
        Run folder to create.
    overwrite
        Replace an earlier run in that folder.
    resume
        Go on with an interrupted run in that folder, with the same settings.
    config_file
        TOML or YAML file with values for flags that are not given, such as the config.toml of a run folder; tables
        tasks.NAME hold what differs for one task.
    print_config
        Print what would be run, as a file for --config, and stop.
    dry_run
        Check everything, time a few steps, print what the run would take, and stop.
    tracker
        Also draw curves in `tensorboard`, `wandb` or `mlflow`: in the run folder, nothing is sent unasked.
    quiet
        Print nothing but errors.
    """
    _run(
        config,
        out,
        command="run",
        overwrite=overwrite,
        resume=resume,
        print_config=print_config,
        dry_run=dry_run,
        tracker=tracker,
        quiet=quiet,
    )


@app.command(group=LEARNED, group_parameters=FOLDER)
def replay(
    task: Annotated[str, Parameter(group=TASK)],
    *,
    out: Path | None = None,
    policy: Annotated[Path | None, Parameter(group=CONTROL)] = None,
    encoder: Annotated[str, Parameter(group=TASK)] = "minilm-l6",
    target_speedup: Annotated[float | None, Parameter(group=WISHES)] = None,
    target_size_ratio: Annotated[float | None, Parameter(group=WISHES)] = None,
    max_accuracy_drop: Annotated[float | None, Parameter(group=WISHES)] = None,
    data_ratio: Annotated[float, Parameter(group=WISHES)] = 1.0,
    text: Annotated[str | None, Parameter(group=TASK)] = None,
    text_pair: Annotated[str | None, Parameter(group=TASK)] = None,
    label: Annotated[str | None, Parameter(group=TASK)] = None,
    passes: Annotated[int | None, Parameter(group=BUDGET)] = None,
    dense_reference: Annotated[str, Parameter(group=CLOCK)] = "none",
    threads: Annotated[int | None, Parameter(group=BUDGET)] = None,
    seed: Annotated[int, Parameter(group=BUDGET)] = 0,
    overwrite: bool = False,
    resume: bool = False,
    print_config: bool = False,
    dry_run: bool = False,
    tracker: str | None = None,
    quick: Annotated[bool, Parameter(group=BUDGET)] = False,
    quiet: bool = False,
) -> None:
    """Let a learned policy drive real training on a task, export a small int8 model, and measure it.

    Example: sec-rl replay --task movie-reviews --target-speedup 8 --out runs/fast

    Example: sec-rl replay mine.csv --text review --label stars --out runs/mine

    Parameters
    ----------
    task
        Packaged name, folder, csv, jsonl or parquet file, or hub:NAME[/CONFIG].
    out
        Run folder to create.
    policy
        Policy folder, or hub:OWNER/NAME; by default the one that ships with the package. It is plain numbers: nothing
        in a stranger's policy is executed.
    encoder
        Packaged name, local directory, or hub id.
    target_speedup
        Dense fp32 latency over the model's to reach, at batch 32, such as 8.
    target_size_ratio
        Bytes of the model over those of the dense fp32 model to reach, such as 0.1.
    max_accuracy_drop
        Points of accuracy that may be lost against the dense model.
    data_ratio
        Most labels to buy, as a share of the pool, such as 0.5; which ones, active learning chooses as the run goes.
    text
        Column of the texts; by default `text`, or what is told by its name.
    text_pair
        Column of the second texts of pairs; by default `text_pair`, or told with the texts.
    label
        Column of the labels; by default `label`, or what is told by its name.
    passes
        Budget of example passes; by default three epochs of the pool, between 3,200 and 24,000.
    dense_reference
        `none`, `train` (a dense model with the same passes, too), or the folder of such a run.
    threads
        Threads of torch and onnxruntime; by default every core this process may use.
    seed
        Seed of every generator.
    overwrite
        Replace an earlier run in that folder.
    resume
        Go on with an interrupted run in that folder, with the same settings.
    print_config
        Print what would be run, as a file for `sec-rl run --config`, and stop.
    dry_run
        Check everything, time a few steps, print what the run would take, and stop.
    tracker
        Also draw curves in `tensorboard`, `wandb` or `mlflow`: in the run folder, nothing is sent unasked.
    quick
        A twentieth of the usual training, to see that everything works.
    quiet
        Print nothing but errors.
    """
    from sec_rl.agents.replay_config import replay_config

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
        passes=QUICK_PASSES if quick and passes is None else passes,
        dense_reference=dense_reference,
        threads=threads,
        seed=seed,
    )
    _run(
        config,
        out,
        command="replay",
        overwrite=overwrite,
        resume=resume,
        print_config=print_config,
        dry_run=dry_run,
        tracker=tracker,
        quiet=quiet,
    )


def _run(
    config: RunConfig,
    out: Path | None,
    *,
    command: str,
    overwrite: bool,
    resume: bool,
    print_config: bool,
    dry_run: bool,
    tracker: str | None,
    quiet: bool,
) -> None:
    """Do a run and print it, or print what would be run, or what it would take."""
    if print_config:
        from sec_rl.run_folder import to_toml

        sys.stdout.write(to_toml(config.model_dump()))
        return
    from sec_rl.cli.printing import RunPrinter

    silent = quiet or not speaks()
    if dry_run:
        from sec_rl.agents.dry_run import dry_run as estimate

        printer = RunPrinter(quiet=silent)
        printer.dry_run(estimate(config, printer.task))
        return
    if out is None:
        raise InputError(f"{command} needs --out, the run folder to create.")
    from sec_rl.agents.run import run as run_one

    tracking = open_tracking(tracker, out) if speaks() else None
    with RunPrinter(quiet=silent) as printer:

        def segment(metrics: Metrics, structure: Mapping[str, Any]) -> None:
            printer.segment(metrics, structure)
            if tracking is not None:
                tracking.segment(metrics, structure)

        result = run_one(config, out, overwrite=overwrite, resume=resume, on_task=printer.task, on_segment=segment)
    printer.result(out, result)
    if tracking is not None:
        tracking.result(result)
