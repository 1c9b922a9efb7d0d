"""What the configuration of a run names: its task and its controller."""

from __future__ import annotations

from collections.abc import Callable

from sec_rl.agents.controllers import Controller, ScheduleController
from sec_rl.agents.label_limit import LabelLimit
from sec_rl.agents.policy import load_policy
from sec_rl.agents.schedules import FIRST_PURCHASE, Schedule
from sec_rl.agents.shipped import shipped_policy
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.tasks import Task, load_task
from sec_rl.values import Ratios

OnTask = Callable[[Task], None]


def configured_task(config: RunConfig, on_task: OnTask | None = None) -> Task:
    """Load and check the task of a run, and show it to `on_task`.

    Raises:
        InputError: something in it cannot be used.
    """
    task = load_task(
        config.task,
        seed=config.seed,
        batch_size=config.batch_size,
        text=config.text,
        text_pair=config.text_pair,
        label=config.label,
    )
    if on_task is not None:
        on_task(task)
    return task


def configured_controller(config: RunConfig) -> tuple[Controller, Ratios]:
    """Return what drives a run, and the ratios that its first action starts from.

    Raises:
        InputError: there is no such policy, or the schedule takes none.
    """
    # A random choice gains nothing by waiting.
    first_purchase = 1.0 if config.selection == "random" else FIRST_PURCHASE
    if config.schedule == "policy":
        policy = load_policy(shipped_policy() if config.policy is None else config.policy)
        limited = LabelLimit(policy, config.data_ratio, first_purchase)
        return limited, limited.initial_ratios()
    if config.policy is not None:
        raise InputError(f"The schedule {config.schedule!r} takes no policy; give --schedule policy or use replay.")
    schedule = Schedule(
        config.schedule,
        config.data_ratio,
        config.compression_ratio,
        config.seed,
        config.n_segments,
        first_purchase=first_purchase,
    )
    controller = ScheduleController(schedule)
    return controller, controller.initial_ratios()
