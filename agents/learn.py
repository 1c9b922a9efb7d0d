"""Learning a policy from a simulator's folder, or going on in real training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sec_rl.agents.gym_entry import make_synergy
from sec_rl.agents.lanes import OpenLanes
from sec_rl.agents.policy import Policy, load_policy
from sec_rl.agents.preferences import draw_weights
from sec_rl.agents.shipped import shipped_simulator
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.agents.train import train
from sec_rl.agents.training_folder import Progress
from sec_rl.agents.training_plan import REAL_PASSES, REAL_SEGMENTS, TrainingPlan, real_plan
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.errors import InputError


def learn(
    out: str | Path,
    *,
    simulator: str | Path | None = None,
    algorithm: str = "ppo",
    steps: int | None = None,
    task: str | None = None,
    passes: int | None = None,
    start: str | Path | None = None,
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
        resume: go on with a training that was interrupted.
        overwrite: replace an earlier policy.
        seed: of everything random.
        on_progress: called after each evaluation.
    """
    folder = shipped_simulator() if simulator is None else Path(simulator)
    fitted = load_simulator(folder)
    plan = TrainingPlan(algorithm=algorithm, seed=seed) if steps is None else TrainingPlan(algorithm, steps, seed)
    real: VecEnv | None = None
    if task is not None:
        if start is None:
            raise InputError("Learning in real training is slow; start from a policy (--policy).")
        plan = real_plan(algorithm, steps, seed)
        run: dict[str, Any] = {"task": task, "passes": passes or REAL_PASSES, "n_segments": REAL_SEGMENTS}
        real = DummyVecEnv([lambda: make_synergy(backend="bert", preference=draw_weights, **run)])
    return train(
        open_lanes_of(fitted),
        Path(out),
        plan,
        start=None if start is None else load_policy(start),
        learn_in=real,
        provenance=_provenance(fitted, task),
        resume=resume,
        overwrite=overwrite,
        on_progress=on_progress,
    )


def open_lanes_of(simulator: Simulator) -> OpenLanes:
    """Return what opens lanes of a simulator, a new task in every episode."""
    return lambda n_lanes, seed: SimulatorVecEnv(simulator, n_lanes, seed)


def _provenance(simulator: Simulator, task: str | None) -> dict[str, Any]:
    names = ("episodes", "families", "sha256", "overall")
    return {"simulator": {name: simulator.about.get(name) for name in names}, "real_task": task}
