"""`collect`, `calibrate` and `train`: from recorded episodes over a simulator to a policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sec_rl.cli.application import QUICK_PASSES, app
from sec_rl.cli.going_on import go_on_with
from sec_rl.cli.groups import POLICY
from sec_rl.cli.tracked import open_tracking
from sec_rl.errors import InputError

if TYPE_CHECKING:
    from sec_rl.agents.training_folder import Progress


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
    tracking = open_tracking(tracker, out)
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
