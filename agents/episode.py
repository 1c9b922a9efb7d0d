"""The loop: a controller drives a session, segment by segment. Real training and the simulator share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.controllers import Controller
from sec_rl.backends.session import Session
from sec_rl.envs.action import Limits, apply_action
from sec_rl.envs.observation import encode
from sec_rl.envs.utility import reward_terms
from sec_rl.values import Levers, Metrics, Preference, Ratios


@dataclass(frozen=True)
class Step:
    """One line of a trajectory.

    Attributes:
        metrics: state after the segment; segment 0 is the opened session.
        structure: what is left of each layer, see `Session.structure`.
        levers: how the segment realised its ratios.
        observation: what the controller saw before the segment; None for segment 0.
        action: what it answered, (2,) in [-1, 1]; None for segment 0.
        target: the ratios that were asked of the session; None for segment 0.
        reward_terms: by how much the segment changed each term of the utility; None for segment 0.
    """

    metrics: Metrics
    structure: dict[str, Any]
    levers: Levers
    observation: NDArray[np.float32] | None = None
    action: NDArray[np.float32] | None = None
    target: Ratios | None = None
    reward_terms: dict[str, float] | None = None

    @property
    def reward(self) -> float | None:
        """Sum of the reward's terms; None for segment 0."""
        return None if self.reward_terms is None else sum(self.reward_terms.values())


def run_episode(
    session: Session,
    opened: Metrics,
    controller: Controller,
    *,
    initial: Ratios,
    preference: Preference,
    limits: Limits,
    levers: Levers,
    reference_accuracy: float,
    seed: int,
    on_step: Callable[[Step], None] | None = None,
) -> list[Step]:
    """Drive an opened session to its last segment.

    ::

        open a session: load task and encoder, measure the latency table -> metrics       (the caller)
        for each segment:
            observation = encode(metrics so far, preference)
            action      = controller(observation)
            d, c        = clip(d + action.data), clip(c + action.compression)
            examples    = data levers pick, augment and pseudo-label for d                (session.advance ...
            model       = compression levers realise c: structures really go, teacher distils
            train one segment; evaluate on validation -> metrics                          ... until here)
            reward      = utility(after) - utility(before)
        close: export the artefact, measure IT, write the run folder                      (the caller)

    Args:
        session: an opened session.
        opened: what opening it returned.
        controller: observation -> action; is reset first.
        initial: ratios that the first action starts from, since an opened session uses no data yet.
        preference: weights and targets; part of the observation and of the reward.
        limits: where the ratios may go.
        levers: how every segment realises its ratios.
        reference_accuracy: validation accuracy, in [0, 1], that the utility counts gains and losses from.
        seed: of everything random in the controller.
        on_step: called after opening and after each segment, before the next one starts.

    Returns:
        `opened.n_segments + 1` steps.
    """
    controller.reset(seed)
    history, steps = [opened], [Step(opened, session.structure(), levers)]
    report = on_step or (lambda _: None)
    report(steps[0])
    ratios = initial
    while history[-1].segment < opened.n_segments:
        observation = encode(history, preference)
        action = controller(observation)
        target = apply_action(ratios, action, limits)
        metrics = session.advance(target, levers)
        terms = reward_terms(history[-1], metrics, preference, reference_accuracy)
        steps.append(Step(metrics, session.structure(), levers, observation, action, target, terms))
        history.append(metrics)
        # Labels come whole and structures in steps of a head: the next action starts from what was really reached.
        ratios = Ratios(metrics.data_ratio, metrics.compression_ratio)
        report(steps[-1])
    return steps


def trajectory_line(step: Step) -> dict[str, Any]:
    """Return a step as a line of `trajectory.jsonl`, JSON-ready."""
    return {
        "segment": step.metrics.segment,
        "observation": None if step.observation is None else step.observation.tolist(),
        "action": None if step.action is None else step.action.tolist(),
        "data_ratio": step.metrics.data_ratio,
        "compression_ratio": step.metrics.compression_ratio,
        "levers": asdict(step.levers),
        "metrics": step.metrics.to_dict(),
        "structure": step.structure,
        "reward": step.reward,
        "reward_terms": step.reward_terms,
    }
