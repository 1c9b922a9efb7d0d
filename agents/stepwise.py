"""An episode whose segments somebody else trains: `run_episode`, turned inside out."""

from __future__ import annotations

import time

from sec_rl.agents.controllers import Controller
from sec_rl.agents.targets_report import aimed, check_reach
from sec_rl.agents.timed_again import Scale, time_again
from sec_rl.backends.trainer import TrainerSession
from sec_rl.envs.action import Limits
from sec_rl.envs.drive import INITIAL, Drive, Plan, Step
from sec_rl.envs.session import OpenedSession
from sec_rl.measurement.accuracy import Scores
from sec_rl.measurement.ratio import QuietTimes
from sec_rl.values import Levers, Preference


class StepwiseEpisode:
    """Drives a session by the optimizer steps and evaluations of whoever trains it.

    Args:
        session: not opened yet.
        controller: observation -> action; is reset.
        preference: weights and targets, as the user gave them.
        scale: of the session; is asked where there is a speed-up to reach.
        max_steps: optimizer steps of the run.
        seed: of everything random in the controller.

    Attributes:
        steps: what happened, segment 0 (nothing trained) first.
        due: the optimizer step whose evaluation is waited for.
    """

    def __init__(
        self,
        session: TrainerSession,
        controller: Controller,
        preference: Preference,
        *,
        scale: Scale,
        max_steps: int,
        seed: int,
    ) -> None:
        self.session, self.steps, self.due = session, list[Step](), 0
        self._controller, self._preference = controller, preference
        self._scale, self._max_steps = scale, max_steps
        self._quiet: QuietTimes | None = None
        self._drive: Drive | None = None
        self._plan: Plan | None = None
        self._seconds, self._began = 0.0, 0.0
        controller.reset(seed)

    @property
    def done(self) -> bool:
        """Whether every segment is spent."""
        return self._drive is not None and self._drive.done

    def open(self, scores: Scores) -> None:
        """Begin, with the untrained model's validation scores.

        Raises:
            InputError: a target is out of reach.
        """
        metrics = self.session.open(scores)
        wanted, limits = aimed(self._preference), Limits()
        if wanted.target_speedup is not None:
            self._quiet = self._scale(ratio=limits.compression_max)
        gain = 1.0 if self._quiet is None else self._quiet.speedup
        opened = OpenedSession(self.session, metrics, metrics.validation_accuracy, gain)
        check_reach(opened, self._preference, limits.compression_max)
        # The loss is the trainer's own: nothing distils.
        levers = Levers(distillation_weight=0.0)
        self._drive = Drive(opened, preference=wanted, limits=limits, levers=levers, initial=INITIAL)
        self.steps.append(self._drive.opening())
        self._next(self._drive)

    def segment_ended(self) -> None:
        """Stop the clock: what comes next is evaluation."""
        self._seconds += time.perf_counter() - self._began

    def settle(self, scores: Scores) -> None:
        """Take note of the segment that ended, and begin the next one.

        Args:
            scores: of validation, after the optimizer step `due`.
        """
        if self._drive is None or self._plan is None:
            raise ValueError("open the episode first")
        passes = round(self.session.budget * self.due / self._max_steps)
        after = self.session.finish(scores, passes, self._seconds)
        self.steps.append(self._drive.settle(self._plan, after))
        if self._quiet is not None:
            self._quiet = time_again(self._drive, after, self._quiet, self._scale)
        if not self.done:
            self._next(self._drive)

    def _next(self, drive: Drive) -> None:
        self._plan = drive.plan(self._controller(drive.observe()))
        self.session.begin(self._plan.target, self._plan.levers)
        self.due = round(self._max_steps * len(self.steps) / self.session.n_segments)
        self._began = time.perf_counter()
