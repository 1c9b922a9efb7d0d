"""What `gymnasium.make("sec_rl/Synergy-v0", ...)` calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sec_rl.agents.configured import configured_task
from sec_rl.agents.episode_plan import SEGMENTS
from sec_rl.agents.shipped import shipped_simulator
from sec_rl.backends.simulator.lanes import draw_opening
from sec_rl.backends.simulator.model import Simulator, load_simulator
from sec_rl.backends.simulator.session import SimulatedSession
from sec_rl.backends.simulator.tasks import TaskBatch, draw_tasks
from sec_rl.config import RunConfig
from sec_rl.envs.action import ActionMode, Limits
from sec_rl.envs.session import OpenedSession
from sec_rl.envs.synergy import DrawPreference, OpenSession, SynergyEnv
from sec_rl.errors import InputError, out_of_range, unknown_name
from sec_rl.values import Levers, Preference

if TYPE_CHECKING:
    from sec_rl.compression.cost_table import CostTable


def make_synergy(
    *,
    task: str | None = None,
    encoder: str = "minilm-l6",
    backend: Literal["simulator", "bert"] = "simulator",
    simulator: str | Path | None = None,
    preference: Preference | DrawPreference | None = None,
    action_mode: ActionMode = "ratios",
    limits: Limits | None = None,
    levers: Levers | None = None,
    table: CostTable | None = None,
    reference_accuracy: float | None = None,
    format_speedup: float = 1.0,
    render_mode: None = None,
    **run: Any,
) -> SynergyEnv:
    """Return the environment over real training or over the simulator.

    Args:
        task: for `bert`: packaged name, folder, or `hub:NAME[/CONFIG]`. For `simulator`: a recorded task's name;
            None draws a new task for every episode.
        encoder: for `bert`: packaged name, local directory, or hub id.
        backend: which.
        simulator: folder of a simulator; None: the shipped one.
        preference: of every episode, or a function that draws one.
        action_mode: `ratios` (2 entries) or `levers` (6).
        limits: where the ratios may go.
        levers: how segments realise their ratios, where the action does not say.
        table: for `bert`: what blocks cost on this device; None: every episode times them, and chooses a little
            differently for it.
        reference_accuracy: validation accuracy of dense training, in [0, 1], that gains and losses count from, and
            with them a preference's `max_accuracy_drop`. None: with `simulator` that of the simulated task; with
            `bert` that of the untrained model, from which a limit on what is lost forbids nothing.
        format_speedup: what the artefact's format alone makes faster, above 0: a target for speed asks pruning for
            the rest. Recorded machines gave 3 to 6; 1 leaves all of it to pruning.
        render_mode: there is nothing to render.
        run: for `bert`: further settings of `sec_rl.config.RunConfig`, such as `passes` or `n_segments`.

    Raises:
        InputError: the backend is unknown or lacks its task, or one of the two figures is out of range.
    """
    del render_mode
    if reference_accuracy is not None and not 0.0 <= reference_accuracy <= 1.0:
        raise out_of_range("reference accuracy", reference_accuracy, 0.0, 1.0)
    if not 0.0 < format_speedup < float("inf"):
        raise InputError(f"The format's speed-up is {format_speedup}; it must be above 0.")
    if backend == "bert":
        if task is None:
            raise InputError("The backend 'bert' trains for real and needs a task.")
        opener = _bert(RunConfig(task=task, encoder=encoder, **run), table)
    elif backend == "simulator":
        opener = _simulator(Path(simulator) if simulator is not None else shipped_simulator(), task)
    else:
        raise unknown_name("backend", backend, ("simulator", "bert"))

    def known(seed: int) -> OpenedSession:
        opened = opener(seed)
        accuracy = opened.reference_accuracy if reference_accuracy is None else reference_accuracy
        return replace(opened, reference_accuracy=accuracy, format_speedup=format_speedup)

    return SynergyEnv(known, preference=preference, action_mode=action_mode, limits=limits, levers=levers)


def _bert(config: RunConfig, table: CostTable | None) -> OpenSession:
    # Workers that only simulate start in a fraction of the time without torch.
    from sec_rl.backends.bert import BertSession

    task = configured_task(config)

    def opener(seed: int) -> OpenedSession:
        session = BertSession(config.model_copy(update={"seed": seed}), task, table)
        metrics = session.open()
        return OpenedSession(session, metrics, metrics.validation_accuracy)

    return opener


def _simulator(folder: Path, task: str | None) -> OpenSession:
    simulator = load_simulator(folder)

    def opener(seed: int) -> OpenedSession:
        generator = np.random.default_rng(seed)
        tasks = _tasks(simulator, task, generator)
        opening = draw_opening(simulator, tasks, generator.choice(SEGMENTS, 1), generator)
        session = SimulatedSession(simulator, opening)
        return OpenedSession(session, session.open(), float(tasks.dense_accuracy[0]))

    return opener


def _tasks(simulator: Simulator, task: str | None, generator: np.random.Generator) -> TaskBatch:
    if task is None:
        return draw_tasks(simulator.tasks, 1, generator)
    settings = [index for index, name in enumerate(simulator.names) if name.rpartition("/")[0] == task]
    if not settings:
        raise unknown_name("recorded task", task, {name.rpartition("/")[0] for name in simulator.names})
    return simulator.tasks.take([int(generator.choice(settings))])
