"""A session under control: actions become segments, metrics become observations and rewards.

This is the one loop body that real training, the simulator, the Gymnasium environment and every controller share::

    open a session: load task and encoder, measure the latency table -> metrics         (the backend)
    for each segment:
        observation = encode(metrics so far, preference)
        action      = controller(observation)                                           (the caller)
        d, c        = clip(d + action.data), clip(c + action.compression)               (act ...
        examples    = data levers pick, augment and pseudo-label for d
        model       = compression levers realise c: structures really go, teacher distils
        train one segment; evaluate on validation -> metrics
        reward      = utility(after) - utility(before)                                  ... until here)
    close: export the artefact, measure IT, write the run folder                        (the caller)

Three guards stand between action and session. In the last fifth of a run nothing more is removed. Where the
preference has targets, the compression ratio neither passes the smallest one that meets them nor stays so low that
they fall out of reach (`action.compression_window` for both). And a segment after which more than half of what the
model had learned over chance is lost is rolled back: the model returns to where it was, the segment stays spent, the
next one trains it without removing more, and from then on compression moves in steps half as wide. A removal that the
targets leave no time to put off is kept all the same, unless the run ends with it: rolled back, it would come again.

Where somebody else trains (a Hugging Face Trainer, which calls and is not called), the same body is taken in two
halves: `plan` before the segment, `settle` after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.envs.action import (
    ACTION_SCALE,
    ActionMode,
    Limits,
    apply_action,
    check_action,
    compression_window,
    levers_from,
)
from sec_rl.envs.batch import Lanes
from sec_rl.envs.observation import encode
from sec_rl.envs.readings import accuracy
from sec_rl.envs.session import OpenedSession, Session
from sec_rl.envs.targets import compression_goal
from sec_rl.envs.utility import reward_terms
from sec_rl.values import Levers, Metrics, Preference, Ratios

# Where a controller starts that says nothing else: enough labels to learn from, nothing removed.
INITIAL = Ratios(0.2, 0.0)
# A model this close to chance has nothing that could collapse.
_LEARNED = 0.1
_LOST_SHARE = 0.5
# Of what is left of the encoder: what a goal is passed by beyond that comes back, as far as whole structures fit in.
# Late in a run little is left, and a fixed part of the dense cost would be a fifth of it.
_FAR_BEYOND = 0.02


@dataclass(frozen=True)
class Step:
    """One line of a trajectory.

    Attributes:
        metrics: state after the segment; segment 0 is the opened session.
        structure: what is left of each layer, see `Session.structure`.
        levers: how the segment realised its ratios.
        observation: what the controller saw before the segment; None for segment 0.
        action: what it answered; None for segment 0.
        target: the ratios that were asked of the session; None for segment 0.
        reward_terms: by how much the segment changed each term of the utility; None for segment 0.
        rolled_back: whether accuracy collapsed and the model returned to the segment before.
    """

    metrics: Metrics
    structure: dict[str, Any]
    levers: Levers
    observation: NDArray[np.float32] | None = None
    action: NDArray[np.float32] | None = None
    target: Ratios | None = None
    reward_terms: dict[str, float] | None = None
    rolled_back: bool = False

    @property
    def reward(self) -> float | None:
        """Sum of the reward's terms; None for segment 0."""
        return None if self.reward_terms is None else sum(self.reward_terms.values())


@dataclass(frozen=True)
class Plan:
    """What a segment is asked for.

    Attributes:
        observation: what the controller saw, (24,).
        action: what it answered, (2,) or (6,).
        target: the ratios to realise; `levers`: how.
        forced: whether more is removed than was asked for, since the targets leave no time to put it off.
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    target: Ratios
    levers: Levers
    forced: bool


class Drive:
    """An opened session, and everything needed to steer it.

    Args:
        opened: the session.
        preference: weights and targets; part of the observation and of the reward.
        limits: where the ratios may go.
        levers: how segments realise their ratios, where the action does not say.
        initial: ratios that the first action starts from, since an opened session uses no data yet.
        action_mode: layout of the action.
    """

    def __init__(
        self,
        opened: OpenedSession,
        *,
        preference: Preference,
        limits: Limits,
        levers: Levers,
        initial: Ratios = INITIAL,
        action_mode: ActionMode = "ratios",
    ) -> None:
        self._opened = opened
        self._preference, self._limits, self._levers, self._mode = preference, limits, levers, action_mode
        self._ratios = initial
        self._step_scale, self._resting = 1.0, False
        self.rollbacks = 0
        self.history = [opened.metrics]
        self._observation = self._encode()

    @property
    def done(self) -> bool:
        """Whether every segment is spent."""
        return self.history[-1].segment >= self.history[-1].n_segments

    def opening(self) -> Step:
        """Return the trajectory's line of the opened session."""
        return Step(self._opened.metrics, self._opened.session.structure(), self._levers)

    def observe(self) -> NDArray[np.float32]:
        """Return the observation, (24,)."""
        return self._observation

    def act(self, action: NDArray[np.floating]) -> Step:
        """Take one segment.

        Args:
            action: (2,) or (6,) in [-1, 1], as the mode says.

        Raises:
            InputError: the action has another shape or is not finite, or every segment is spent.
        """
        session = self._opened.session
        if not isinstance(session, Session):
            raise TypeError(f"{type(session).__name__} trains no segment by itself: use plan and settle")
        plan = self.plan(action)
        return self.settle(plan, session.advance(plan.target, plan.levers))

    def goal(self) -> float | None:
        """Return the compression ratio that the targets for speed and size stand for; None without one."""
        return compression_goal(self._opened, self._preference, self._limits.compression_max)

    def time_again(self, format_speedup: float) -> None:
        """Steer by another speed-up of the artefact's format, after the session's table was fitted anew.

        Where the goal turns out to be passed by far, structures come back in the next segment.
        """
        self._opened = replace(self._opened, format_speedup=format_speedup)
        goal = self.goal()
        if goal is not None and self._ratios.compression - goal > _FAR_BEYOND * (1.0 - goal):
            self._ratios = replace(self._ratios, compression=goal)
        self._observation = self._encode()

    def plan(self, action: NDArray[np.floating]) -> Plan:
        """Return what an action asks of the next segment, both guards applied; nothing changes.

        Args:
            action: (2,) or (6,) in [-1, 1], as the mode says.

        Raises:
            InputError: the action has another shape or is not finite.
        """
        check_action(action, self._mode)
        target, forced = self._guarded(apply_action(self._ratios, action[:2], self._limits))
        levers = levers_from(action, self._levers)
        return Plan(self._observation, np.asarray(action, np.float32), target, levers, forced)

    def settle(self, plan: Plan, after: Metrics) -> Step:
        """Take note of a segment that went as planned; a collapse is rolled back.

        Args:
            plan: from `plan`, before the segment.
            after: metrics after it.
        """
        session, before = self._opened.session, self.history[-1]
        # What is forced would be removed again at once, and have less time to recover.
        stays = plan.forced and after.segment < after.n_segments
        # Before the first segment nothing was trained: there is no model to return to, only a lucky guess.
        rolled_back = before.segment > 0 and not stays and collapsed(before, after)
        if rolled_back:
            after = session.rollback()
            self.rollbacks += 1
            self._step_scale /= 2.0
        # What a model could not bear it cannot bear at once again: structures may be so coarse that half a step
        # removes the same one.
        self._resting = rolled_back
        terms = reward_terms(
            before,
            after,
            self._preference,
            self._opened.reference_accuracy,
            format_speedup=self._opened.format_speedup,
        )
        self.history.append(after)
        self._observation = self._encode()
        # Labels come whole and structures in steps of a head: the next action starts from what was really reached.
        self._ratios = Ratios(after.data_ratio, after.compression_ratio)
        return Step(
            after,
            session.structure(),
            plan.levers,
            plan.observation,
            plan.action,
            plan.target,
            terms,
            rolled_back,
        )

    def state(self) -> dict[str, Any]:
        """Return where the drive is, JSON-ready; the session's own state is not in it."""
        return {
            "history": [metrics.to_dict() for metrics in self.history],
            "ratios": asdict(self._ratios),
            "step_scale": self._step_scale,
            "resting": self._resting,
            "rollbacks": self.rollbacks,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the drive was that gave `state`."""
        self.history = [Metrics(**metrics) for metrics in state["history"]]
        self._ratios = Ratios(**state["ratios"])
        self._step_scale, self._resting = state["step_scale"], state["resting"]
        self.rollbacks = state["rollbacks"]
        self._observation = self._encode()

    def _encode(self) -> NDArray[np.float32]:
        return encode(self.history, self._preference, format_speedup=self._opened.format_speedup)

    def _guarded(self, wanted: Ratios) -> tuple[Ratios, bool]:
        """Return the ratios of the next segment, and whether the targets force them up."""
        before = self.history[-1]
        left = before.n_segments - before.segment - 1
        now = self._ratios.compression
        highest = now + (0.0 if self._resting else self._step_scale * ACTION_SCALE[1])
        compression = min(wanted.compression, highest)
        # Which structures are worth keeping changes while the model learns, and with it what a ratio costs in time.
        goal = self.goal()
        known = (np.nan if goal is None else goal, now, left, before.n_segments)
        goals, nows, lefts, totals = (np.array([float(value)]) for value in known)
        low, high = compression_window(goals, nows, lefts, totals, self._limits.compression_max)
        # What is removed already stays: structures come whole, so a goal may be passed by less than one of them.
        bounded = min(max(compression, float(low[0])), max(float(high[0]), min(now, wanted.compression)))
        return Ratios(wanted.data, bounded), bounded > max(compression, now)


def collapsed(before: Metrics, after: Metrics) -> bool:
    """Return whether more than half of what was learned over chance is gone."""
    old, new = (np.array([accuracy(metrics)]) for metrics in (before, after))
    return bool(collapsed_lanes(old, new, np.array([float(before.n_classes)]))[0])


def collapsed_lanes(before: Lanes, after: Lanes, n_classes: Lanes) -> NDArray[np.bool_]:
    """Return the same of many runs, from their accuracies before and after a segment, (lanes,)."""
    chance = 1.0 / n_classes
    old, new = (before - chance) / (1.0 - chance), (after - chance) / (1.0 - chance)
    lost: NDArray[np.bool_] = (old > _LEARNED) & (new < _LOST_SHARE * old)
    return lost
