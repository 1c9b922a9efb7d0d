"""Learning a policy from a simulator's folder, or going on in real training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sec_rl.agents.collect import time_table
from sec_rl.agents.gym_entry import make_synergy
from sec_rl.agents.lanes import OpenLanes
from sec_rl.agents.policy import Policy, load_policy
from sec_rl.agents.preferences import draw_weights
from sec_rl.agents.shipped import shipped_simulator
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.train import train
from sec_rl.agents.training_folder import Progress
from sec_rl.agents.training_plan import REAL_LANES, REAL_PASSES, REAL_SEGMENTS, TrainingPlan, real_plan
from sec_rl.agents.tuning import Tuned
from sec_rl.agents.worker_lanes import WorkerLanes
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.workers import Crew

# Longest that a segment of real training may take, opening included; it takes seconds.
SEGMENT_SECONDS = 1800.0


def learn(
    out: str | Path,
    *,
    simulator: str | Path | None = None,
    algorithm: str = "ppo",
    steps: int | None = None,
    task: str | None = None,
    passes: int | None = None,
    start: str | Path | None = None,
    tuned: Tuned | None = None,
    workers: int = 1,
    threads: int = 1,
    ray_address: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Policy:
    """Learn a policy and write its folder, see `sec_rl.agents.train`.

    Args:
        out: folder of the policy.
        simulator: folder of a simulator; None: the shipped one. It is what schedules are tuned and policies are
            judged in, also while a policy learns in real training.
        algorithm: key of `sec_rl.agents.learners.algorithms.ALGORITHMS`.
        steps: environment steps at most; None: the plan's default.
        task: learn in real training on this task instead; a step is then a segment of a fine-tuning run, and the
            policy that is written is the last one.
        passes: example passes of each real run; None: 4,000.
        start: folder, or `hub:OWNER/NAME`, of the policy to go on from.
        tuned: the best schedules in the simulator; None: they are found now.
        workers: that keep the five real runs side by side; how many changes the time, and nothing else.
        threads: of torch in each; the last bits of what a run learns depend on it.
        ray_address: where the workers are, see `sec_rl.workers.Crew`; None: processes of this machine.
        resume: go on with a training that was interrupted.
        overwrite: replace an earlier policy.
        seed: of everything random.
        on_progress: called after each evaluation.

    Returns:
        the best policy; after real training, the last one.

    Raises:
        InputError: something that was given cannot be used, or `task` is given and `start` is not.
        RunFolderError: `out` is taken, or holds nothing to resume.

    Examples:
        >>> from sec_rl import train
        >>> policy = train("runs/my-policy", steps=1024)
        >>> policy.action_mode
        'ratios'
    """
    folder = shipped_simulator() if simulator is None else Path(simulator)
    fitted = load_simulator(folder)
    plan = TrainingPlan(algorithm=algorithm, seed=seed) if steps is None else TrainingPlan(algorithm, steps, seed)
    crew = Crew(workers, threads, ray_address)
    if task is not None and start is None:
        raise InputError("Learning in real training is slow; start from a policy (--policy).")
    policy = None if start is None else load_policy(start)
    if policy is not None and policy.action_mode != "ratios":
        raise InputError(
            f"Policy {str(start)!r} has actions of the mode {policy.action_mode!r}; learning goes on from one of the "
            "mode 'ratios' only."
        )
    with contextlib.ExitStack() as stack:
        real: WorkerLanes | None = None
        if task is not None:
            plan = real_plan(algorithm, steps, seed)
            real = stack.enter_context(_real_lanes(task, passes, seed, crew))
        return train(
            open_lanes_of(fitted),
            Path(out),
            plan,
            start=policy,
            tuned=tuned,
            learn_in=real,
            provenance=_provenance(fitted, task),
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )


@contextlib.contextmanager
def _real_lanes(task: str, passes: int | None, seed: int, crew: Crew) -> Iterator[WorkerLanes]:
    """Open real runs side by side, and end their workers at the end."""
    run: dict[str, Any] = {"task": task, "passes": passes or REAL_PASSES, "n_segments": REAL_SEGMENTS}
    # Blocks are timed once, before anything else runs: a run that is played again must choose as it did.
    make = partial(
        make_synergy,
        backend="bert",
        preference=draw_weights,
        table=time_table(RunConfig(task=task).encoder),
        threads=crew.threads,
        **run,
    )
    with crew.open() as hosts:
        yield WorkerLanes(hosts, make, REAL_LANES, seed, workers=crew.workers, timeout_seconds=SEGMENT_SECONDS)


def open_lanes_of(simulator: Simulator) -> OpenLanes:
    """Return what opens lanes of a simulator, a new task in every episode."""
    return lambda n_lanes, seed: SimulatorVecEnv(simulator, n_lanes, seed)


def _provenance(simulator: Simulator, task: str | None) -> dict[str, Any]:
    names = ("episodes", "families", "sha256", "overall")
    return {"simulator": {name: simulator.about.get(name) for name in names}, "real_task": task}
