"""The `sec-rl` command: parses, calls, prints. Everything heavy is imported inside the commands."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from sec_rl.cli.config_file import config_sources
from sec_rl.cli.going_on import go_on_with
from sec_rl.cli.groups import BUDGET, CLOCK, CONTROL, FOLDER, LEARNED, LOOK, POLICY, TASK, WISHES, RunFlags
from sec_rl.cli.one_line import one_line
from sec_rl.cli.version import version_text
from sec_rl.config import RunConfig
from sec_rl.errors import InputError, RunInterruptedError, SecRlError, is_out_of_memory
from sec_rl.launched import speaks

if TYPE_CHECKING:
    from sec_rl.agents.training_folder import Progress
    from sec_rl.trackers import Tracking
    from sec_rl.values import Metrics

QUICK_PASSES = 640

app = App(
    name="sec-rl",
    help="One controller over the data ratio and the compression ratio of a BERT fine-tuning run.",
    result_action="return_value",
    version=version_text,
    version_format="plaintext",
    default_parameter=Parameter(negative=()),
)


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
    if print_config:
        _print_config(config)
        return
    _run(
        config,
        out,
        command="run",
        overwrite=overwrite,
        resume=resume,
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
        passes=QUICK_PASSES if quick else passes,
        dense_reference=dense_reference,
        threads=threads,
        seed=seed,
    )
    if print_config:
        _print_config(config)
        return
    _run(
        config,
        out,
        command="replay",
        overwrite=overwrite,
        resume=resume,
        dry_run=dry_run,
        tracker=tracker,
        quiet=quiet,
    )


def _print_config(config: RunConfig) -> None:
    from sec_rl.run_folder import to_toml

    sys.stdout.write(to_toml(config.model_dump()))


def _run(
    config: RunConfig,
    out: Path | None,
    *,
    command: str,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    tracker: str | None,
    quiet: bool,
) -> None:
    """Do a run and print it, or print what it would take."""
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

    tracking = _tracking(tracker, out) if speaks() else None
    with RunPrinter(quiet=silent) as printer:

        def segment(metrics: Metrics, structure: Mapping[str, Any]) -> None:
            printer.segment(metrics, structure)
            if tracking is not None:
                tracking.segment(metrics, structure)

        result = run_one(config, out, overwrite=overwrite, resume=resume, on_task=printer.task, on_segment=segment)
    printer.result(out, result)
    if tracking is not None:
        tracking.result(result)


def _tracking(tracker: str | None, out: Path) -> Tracking | None:
    if tracker is None:
        return None
    from sec_rl.trackers import Tracking

    return Tracking(tracker, out)


@app.command(group=LEARNED)
def predict(
    model: Path,
    /,
    *texts: str,
    pair: Annotated[list[str] | None, Parameter(negative="")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Classify texts with an exported model; needs neither torch nor transformers.

    Example: sec-rl predict runs/first/model "a gorgeous, witty film"

    Parameters
    ----------
    model
        The `model` folder of a run, or hub:OWNER/NAME.
    texts
        Texts to classify; `-` reads them from standard input, a line each.
    pair
        Second text of each, in their order, for tasks on pairs: once per text.
    as_json
        Print one JSON object per text: label, probability, probabilities of all labels.
    seed
        Accepted by every command; prediction draws nothing.
    quiet
        Print the label only.
    """
    from sec_rl.classifier import Classifier

    if not texts:
        raise InputError("predict needs at least one text, or - to read them from standard input.")
    lines = [line.rstrip("\n") for line in sys.stdin] if texts == ("-",) else list(texts)
    for prediction in Classifier(model).predict(lines, pair):
        if as_json:
            print(json.dumps(asdict(prediction)))
        else:
            print(prediction.label if quiet else f"{prediction.label}\t{prediction.probability:.4f}")


@app.command(group=LOOK)
def compare(*runs: Path, out: Path | None = None, seed: int = 0, quiet: bool = False) -> None:
    """Print finished runs side by side.

    Example: sec-rl compare runs/first runs/second --out comparison.html

    Parameters
    ----------
    runs
        Run folders.
    out
        HTML page to write: the table, and accuracy over size and over latency with the Pareto front.
    seed
        Accepted by every command; nothing is drawn.
    quiet
        Print nothing but errors.
    """
    from sec_rl.cli.printing import print_comparison
    from sec_rl.report.compare import compare as compare_runs

    results = compare_runs(runs, out)
    if not quiet:
        print_comparison(results)


@app.command(group=POLICY)
def collect(
    *,
    task: list[str],
    out: Path,
    episodes: int = 170,
    encoder: str = "minilm-l6",
    policy: Path | None = None,
    workers: int = 1,
    threads: int = 1,
    ray_address: str | None = None,
    timeout_minutes: float = 60.0,
    seed: int = 0,
    quick: bool = False,
    quiet: bool = False,
) -> None:
    """Record real episodes under exploring controllers; the same command resumes.

    Example: sec-rl collect --task sms-spam --task questions --episodes 24 --workers 2 --out runs/traces

    Parameters
    ----------
    task
        Packaged name, folder, or hub:NAME[/CONFIG]; give one flag per task.
    out
        Folder of the episodes; `episodes.parquet` in it is the table.
    episodes
        Episodes of the whole collection, about a minute of one core each.
    encoder
        Packaged name, local directory, or hub id.
    policy
        Policy of an earlier round; it drives the episodes that the plan has for it.
    workers
        Workers that record side by side: processes of this machine, or of a Ray cluster.
    threads
        Threads of each.
    ray_address
        Address of a Ray cluster to record on, or `local` to start one on this machine; needs the extra `ray`.
    timeout_minutes
        An episode that takes longer hangs: another worker records it again, as when its worker dies.
    seed
        Decides which episodes are recorded.
    quick
        Two episodes per task, to see that everything works.
    quiet
        Print nothing but errors.
    """
    from sec_rl.agents.collect import PARTS
    from sec_rl.agents.collect import collect as collect_all
    from sec_rl.cli.printing import CollectionPrinter

    n_episodes = 2 * len(task) if quick else episodes
    # What is finished is kept, and not recorded again.
    with go_on_with(lambda: (out / PARTS).is_dir()), CollectionPrinter(quiet=quiet) as printer:
        table = collect_all(
            task,
            n_episodes,
            out,
            encoder=encoder,
            workers=workers,
            threads=threads,
            ray_address=ray_address,
            timeout_minutes=timeout_minutes,
            seed=seed,
            policy=policy,
            on_episode=printer.episode,
        )
    printer.done(out, table)


@app.command(group=POLICY)
def calibrate(
    *,
    out: Path,
    traces: Path | None = None,
    leave_out: list[str] | None = None,
    overwrite: bool = False,
    seed: int = 0,
    quick: bool = False,
    quiet: bool = False,
) -> None:
    """Fit the simulator to recorded episodes, and print its error on tasks that it was not fitted to.

    Example: sec-rl calibrate --traces runs/traces --out runs/simulator

    Parameters
    ----------
    out
        Folder of the simulator to create.
    traces
        Folder of recorded episodes; by default those that ship with the package.
    leave_out
        Families of tasks to leave out of everything, one flag each.
    overwrite
        Replace an earlier simulator in that folder.
    seed
        Seed of the fit.
    quick
        Fewer members and shorter fits, to see that everything works.
    quiet
        Print nothing but errors.
    """
    from sec_rl.agents.calibrate import calibrate as fit
    from sec_rl.agents.shipped import shipped_traces
    from sec_rl.cli.printing import CalibrationPrinter

    printer = CalibrationPrinter(quiet=quiet)
    report = fit(
        traces or shipped_traces(),
        out,
        leave_out=leave_out or (),
        overwrite=overwrite,
        seed=seed,
        quick=quick,
        on_progress=printer.line,
    )
    printer.report(out, report)


@app.command(group=POLICY)
def train(
    *,
    out: Path,
    simulator: Path | None = None,
    algorithm: str = "ppo",
    steps: int | None = None,
    backend: Literal["simulator", "bert"] = "simulator",
    task: str | None = None,
    passes: int | None = None,
    policy: Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    ray_address: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    tracker: str | None = None,
    quick: bool = False,
    quiet: bool = False,
) -> None:
    """Learn a controller policy.

    Example: sec-rl train --out runs/policy

    Parameters
    ----------
    out
        Folder of the policy to create.
    simulator
        Folder of a simulator; by default the one that ships with the package.
    algorithm
        `ppo`, `sac`, `dqn` or `cross-entropy`.
    steps
        Environment steps, each a segment of a run; by default 4,000,000 simulated ones, or 240 real ones (20 runs).
    backend
        `bert` learns in real training on `--task`: slow, and meant to go on from a policy.
    task
        What to train on for real, with the backend `bert` only.
    passes
        Example passes of each real run, with the backend `bert` only; by default 4,000, about a minute.
    policy
        Policy to go on from, instead of a cloned schedule.
    workers
        With the backend `bert` only: workers that share its five runs side by side; by default 1.
    threads
        With the backend `bert` only: threads of each; by default 1.
    ray_address
        With the backend `bert` only: address of a Ray cluster, or `local` to start one on this machine; needs the
        extra `ray`. Without it, workers are processes of this machine.
    resume
        Go on with a training that was interrupted, bit for bit.
    overwrite
        Replace an earlier policy in that folder.
    seed
        Seed of everything random.
    tracker
        Also draw curves in `wandb` or `mlflow`: in the folder, nothing is sent unasked. TensorBoard always has them.
    quick
        40,000 simulated steps, or five short real runs, to see that everything works.
    quiet
        Print nothing but errors.
    """
    from sec_rl.agents.checkpoint import has_state
    from sec_rl.agents.learn import learn
    from sec_rl.agents.training_folder import TRAINING
    from sec_rl.agents.training_plan import QUICK_REAL_STEPS, QUICK_STEPS
    from sec_rl.cli.printing import TrainingPrinter

    real = _real_task(backend, task, passes=passes, workers=workers, threads=threads, ray_address=ray_address)
    if quick and steps is None:
        steps = QUICK_REAL_STEPS if real else QUICK_STEPS
    if quick and real and passes is None:
        passes = QUICK_PASSES
    tracking = _tracking(tracker, out)
    with go_on_with(lambda: has_state(out / TRAINING), "--resume"), TrainingPrinter(quiet=quiet) as printer:

        def progressed(progress: Progress) -> None:
            printer.progress(progress)
            if tracking is not None:
                tracking.progress(progress)

        learned = learn(
            out,
            simulator=simulator,
            algorithm=algorithm,
            steps=steps,
            task=real,
            passes=passes,
            start=policy,
            workers=1 if workers is None else workers,
            threads=1 if threads is None else threads,
            ray_address=ray_address,
            resume=resume,
            overwrite=overwrite,
            seed=seed,
            on_progress=progressed,
        )
    printer.done(out, learned.scores)
    if tracking is not None:
        tracking.scores(learned.scores)


def _real_task(backend: str, task: str | None, **only_real: object) -> str | None:
    if backend == "bert" and task is None:
        raise InputError("The backend 'bert' trains for real and needs --task.")
    if backend == "simulator" and task is not None:
        raise InputError("--task is what the backend 'bert' trains on; the simulator draws its tasks.")
    for name, value in only_real.items():
        if backend == "simulator" and value is not None:
            raise InputError(
                f"--{name.replace('_', '-')} is for the real runs of the backend 'bert'; the simulator has none."
            )
    return task


@app.command(group=LOOK)
def tasks(*, seed: int = 0, quiet: bool = False) -> None:
    """List the packaged tasks.

    Example: sec-rl tasks

    Parameters
    ----------
    seed
        Accepted by every command; nothing is drawn.
    quiet
        Print the names only.
    """
    from sec_rl.cli.printing import print_tasks

    print_tasks(names_only=quiet)


@app.command(group=LOOK)
def measure(folder: Path, /, *, threads: int | None = None, seed: int = 0, quiet: bool = False) -> None:
    """Time a finished run again on this machine, against the dense encoder.

    Example: sec-rl measure runs/first

    Parameters
    ----------
    folder
        Run folder.
    threads
        Threads of each model; by default as many as in the run, or every core where there are fewer.
    seed
        Accepted by every command; token ids are fixed.
    quiet
        Write the file and print nothing.
    """
    from sec_rl.agents.measure import measure as measure_again
    from sec_rl.cli.printing import print_measurement

    path, measured = measure_again(folder, threads=threads)
    if not quiet:
        print_measurement(path, measured)


@app.command
def push(
    folder: Path,
    repository: str,
    /,
    *,
    licence: Annotated[str | None, Parameter(name="--license")] = None,
    private: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Upload a policy, or the model of a run, to the Hugging Face hub.

    Example: sec-rl push runs/first OWNER/NAME --license apache-2.0

    Parameters
    ----------
    folder
        Folder of a policy or a run; of a run its `model` is uploaded, with its card.
    repository
        OWNER/NAME on the hub, as the one who is logged in there (hf auth login).
    licence
        The hub's identifier of a licence; by default `other`.
    private
        Make a new repository private.
    seed
        Accepted by every command; nothing is drawn.
    quiet
        Print the address only.
    """
    from sec_rl.agents.publish import publish

    address = publish(folder, repository, licence=licence, private=private)
    print(address if quiet else f"{folder} is now at {address}")


def main() -> None:
    """Run the command line; exit 0 when it worked, 2 with one line on standard error when input was bad.

    Ctrl-C and SIGTERM end a command with 130 and one line, which holds the command that goes on, if one does.
    """
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        app.config = config_sources(sys.argv[1:])
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except RunInterruptedError as interrupted:
        _stop(str(interrupted))
    except KeyboardInterrupt:
        _stop("Interrupted.")
    except (SecRlError, CycloptsError, OSError) as error:
        _refuse(one_line(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # Where a run had begun to train, it says more.
        _refuse(
            "Memory ran out. A smaller --encoder takes less of it, and so do lower --batch-size and --max-length."
        )


def _refuse(line: str) -> None:
    _say(line)
    sys.exit(2)


def _stop(line: str) -> None:
    _say(line)
    sys.exit(130)


def _say(line: str) -> None:
    # Of several processes of one run, all end for the same reason, or because the first one did.
    if speaks():
        print(f"sec-rl: {line}", file=sys.stderr)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
