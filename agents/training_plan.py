"""What a training is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sec_rl.errors import InputError


@dataclass(frozen=True)
class TrainingPlan:
    """How to learn a policy. Two trainings of one plan in one version give the same policy, bit for bit.

    Attributes:
        algorithm: key of `sec_rl.agents.learners.algorithms.ALGORITHMS`.
        steps: environment steps at most; a step is a segment of one lane.
        seed: of everything random.
        lanes: runs side by side.
        evaluate_every: steps between evaluations; after each, the state is saved.
        episodes: of an evaluation; always the same ones.
        patience: evaluations without a gain after which learning stops.
        threads: of torch; the last bits of the result depend on it.
        settings: of the algorithm, where they are not its defaults.

    Raises:
        InputError: a number is below 1, or the seed below 0.
    """

    algorithm: str = "ppo"
    steps: int = 4_000_000
    seed: int = 0
    lanes: int = 1024
    evaluate_every: int = 100_000
    episodes: int = 2048
    patience: int = 16
    threads: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("steps", "lanes", "evaluate_every", "episodes", "patience", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name)}; it must be at least 1.")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; it must be at least 0.")


# A real run takes about a minute, as the recorded ones do: four updates of five runs each, which go on side by side
# however many workers there are for them.
REAL_SEGMENTS, REAL_PASSES, REAL_LANES, REAL_STEPS = 12, 4_000, 5, 240
_REAL_ROLLOUT = REAL_LANES * REAL_SEGMENTS
# To see that everything works.
QUICK_STEPS, QUICK_REAL_STEPS = 40_000, _REAL_ROLLOUT
# A few runs are noisy teachers: small steps, no parting from what the simulator taught.
_REAL_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"n_steps": REAL_SEGMENTS, "n_minibatches": 4, "rate": 3e-4}
}


def real_plan(algorithm: str, steps: int | None, seed: int) -> TrainingPlan:
    """Return the plan of a training that goes on in real runs.

    Args:
        algorithm: key of `ALGORITHMS`.
        steps: segments of real training; None: those of 20 runs.
        seed: of everything random.
    """
    return TrainingPlan(
        algorithm,
        steps or REAL_STEPS,
        seed,
        evaluate_every=_REAL_ROLLOUT,
        # The simulator, which evaluates, is not what is learned from: its verdict must not end the training.
        patience=1_000_000,
        settings=_REAL_SETTINGS.get(algorithm, {}),
    )
