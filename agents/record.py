"""Recording one episode: a real run of a small setting, as rows of the table of `sec_rl.agents.traces`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from sec_rl.agents.controllers import Controller, RandomWalk
from sec_rl.agents.episode import run_episode
from sec_rl.agents.episode_plan import EpisodeSpec, budget_for, task_name
from sec_rl.agents.preferences import draw_weights
from sec_rl.agents.traces import COLUMNS, METRIC_COLUMNS
from sec_rl.backends.bert import BertSession
from sec_rl.compression.cost_table import CostTable
from sec_rl.config import PruningConfig, RunConfig
from sec_rl.envs.action import Limits
from sec_rl.envs.drive import INITIAL, Drive, Step
from sec_rl.envs.session import OpenedSession
from sec_rl.measurement.accuracy import Scores
from sec_rl.tasks import Split, Task, load_task
from sec_rl.values import Preference, Ratios

# Rows scored after a segment, and at the end.
SEEN_ROWS, FINAL_ROWS = 300, 1500
# A small batch takes more steps with the few passes there are.
BATCH_SIZE = 16
# Of the walk around a policy: about 0.04 of the compression ratio per segment.
POLICY_SPREAD = 0.15
MAX_LENGTH = 64


def record_episode(
    spec: EpisodeSpec, encoder: str, table: CostTable, *, threads: int, policy: Controller | None = None
) -> pd.DataFrame:
    """Run an episode and return its rows, one per segment.

    Args:
        spec: the episode.
        encoder: as `sec-rl run` takes it.
        table: what blocks cost on this device.
        threads: of torch.
        policy: drives episodes of kind `policy`.
    """
    controller, initial = spec.controller()
    if spec.kind == "policy" and policy is not None:
        # A policy is to show more than one way through a task: it wanders, and prefers something else every time. The
        # table holds no reward, it follows from the metrics.
        controller, initial = RandomWalk(spread=POLICY_SPREAD, around=policy), INITIAL
    preference = draw_weights(np.random.default_rng(spec.seed))
    played = play_episode(spec, encoder, table, controller, initial, preference, threads=threads)
    whole = _setting(spec.task, spec.pool_size)
    return _rows(spec, encoder, played, whole, played.session.score(whole.validation))


@dataclass(frozen=True)
class PlayedEpisode:
    """A finished episode: its session, as the last segment left it, and its steps."""

    session: BertSession
    steps: list[Step]
    rollbacks: int


def play_episode(
    spec: EpisodeSpec,
    encoder: str,
    table: CostTable,
    controller: Controller,
    initial: Ratios,
    preference: Preference,
    *,
    threads: int,
) -> PlayedEpisode:
    """Run an episode under a controller.

    Args:
        spec: task, setting, levers and seed.
        encoder: as `sec-rl run` takes it.
        table: what blocks cost on this device.
        controller: drives it.
        initial: ratios that its first action starts from.
        preference: what the controller is asked for.
        threads: of torch.
    """
    task = _setting(spec.task, spec.pool_size)
    seen = task.validation.take(np.arange(min(SEEN_ROWS, len(task.validation))))
    config = run_config(spec, encoder, threads, task.n_classes)
    session = BertSession(config, Task(task.name, task.label_names, task.train, seen, task.test), table)
    opened = session.open()
    drive = Drive(
        OpenedSession(session, opened, reference_accuracy=opened.validation_accuracy),
        preference=preference,
        limits=Limits(),
        levers=spec.levers,
        initial=initial,
    )
    return PlayedEpisode(session, run_episode(drive, controller, seed=spec.seed), drive.rollbacks)


def run_config(spec: EpisodeSpec, encoder: str, threads: int, n_classes: int) -> RunConfig:
    """Return the configuration of an episode's session on a task of `n_classes`."""
    return RunConfig(
        task=spec.task,
        encoder=encoder,
        passes=budget_for(spec.base_budget, n_classes),
        n_segments=spec.n_segments,
        batch_size=BATCH_SIZE,
        max_length=MAX_LENGTH,
        validation_rows=SEEN_ROWS,
        pruning=PruningConfig(vocabulary="pruned"),
        threads=threads,
        seed=spec.seed,
    )


@lru_cache(maxsize=4)
def _setting(task: str, pool_size: int) -> Task:
    """Return a task with a smaller pool; the same rows for every episode, so that episodes compare."""
    whole = load_task(task, seed=0)
    generator = np.random.default_rng(0)

    def cut(split: Split, size: int) -> Split:
        return split.take(np.sort(generator.permutation(len(split))[:size]))

    # Scored rows are in random order, so that the first few are a sample of all.
    validation = whole.validation.take(generator.permutation(len(whole.validation))[:FINAL_ROWS])
    return Task(whole.name, whole.label_names, cut(whole.train, pool_size), validation, whole.test)


def _rows(spec: EpisodeSpec, encoder: str, played: PlayedEpisode, whole: Task, final: Scores) -> pd.DataFrame:
    session = played.session
    episode: dict[str, Any] = {
        "episode": spec.name,
        "task": task_name(spec.task),
        "family": spec.family,
        "encoder": encoder,
        "controller": spec.kind,
        "seed": spec.seed,
        "pool_size": len(session.task.train),
        "budget": session.budget,
        "n_segments": spec.n_segments,
        "n_classes": session.task.n_classes,
        "majority": float(np.bincount(whole.validation.labels).max() / len(whole.validation)),
        "batch_size": session.config.batch_size,
        "final_accuracy": final.accuracy,
        "final_loss": final.loss,
    }
    lines = []
    for step in played.steps:
        metrics = step.metrics.to_dict()
        action = (np.nan, np.nan) if step.action is None else step.action.tolist()
        target = (np.nan, np.nan) if step.target is None else (step.target.data, step.target.compression)
        line = episode | {"segment": step.metrics.segment, "rolled_back": step.rolled_back} | asdict(step.levers)
        line |= {name: metrics[name] for name in METRIC_COLUMNS}
        line |= {"action_data": action[0], "action_compression": action[1]}
        line |= {"target_data": target[0], "target_compression": target[1]}
        lines.append(line)
    return pd.DataFrame(lines)[list(COLUMNS)]
