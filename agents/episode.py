"""A controller drives a session to its end. Real training and the simulator share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sec_rl.agents.controllers import Controller
from sec_rl.envs.drive import Drive, Step


def run_episode(
    drive: Drive, controller: Controller, *, seed: int, on_step: Callable[[Step], None] | None = None
) -> list[Step]:
    """Drive an opened session to its last segment; the loop's body is `sec_rl.envs.drive`.

    Args:
        drive: an opened session under control.
        controller: observation -> action; is reset first.
        seed: of everything random in the controller.
        on_step: called after opening and after each segment, before the next one starts.

    Returns:
        `n_segments + 1` steps; of a drive that was restored, those that were left.
    """
    controller.reset(seed)
    steps = []
    report = on_step or (lambda _: None)
    if drive.history[-1].segment == 0:
        steps.append(drive.opening())
        report(steps[0])
    while not drive.done:
        steps.append(drive.act(controller(drive.observe())))
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
        "rolled_back": step.rolled_back,
    }
