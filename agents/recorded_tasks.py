"""Descriptors of the tasks that were recorded, read off their dense episodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sec_rl.backends.simulator.learning_curve import LEAST_SKILL, MOST_SKILL, fit_curve, logit, sigmoid
from sec_rl.backends.simulator.tasks import TaskBatch, accuracy_skill, loss_skill
from sec_rl.errors import InputError

Array = NDArray[np.float64]
_SETTING = ["task", "pool_size", "budget"]


def recorded_tasks(table: pd.DataFrame) -> tuple[TaskBatch, tuple[str, ...]]:
    """Return the descriptors of every recorded setting, and its name; families count in alphabetical order.

    Args:
        table: see `sec_rl.agents.traces`.

    Raises:
        InputError: a setting lacks a dense episode, by which all others are measured.
    """
    tasks, names = [], []
    families = sorted(set(table["family"]))
    for rows in _settings(table):
        name, pool_size = str(rows["task"].iloc[0]), int(rows["pool_size"].iloc[0])
        if not (rows["controller"] == "dense").any():
            raise InputError(f"Task {name!r} with a pool of {pool_size} has no dense episode; record one.")
        tasks.append(_describe(rows, families.index(rows["family"].iloc[0])))
        names.append(f"{name}/{pool_size}")
    columns = {field.name: np.concatenate([getattr(one, field.name) for one in tasks]) for field in fields(TaskBatch)}
    return TaskBatch(**columns), tuple(names)


def setting_numbers(table: pd.DataFrame) -> pd.Series:
    """Return per row the number of its setting, in the order of `recorded_tasks` of the same table."""
    return table.groupby(_SETTING, sort=True).ngroup()


def sample_shifts(table: pd.DataFrame, tasks: TaskBatch) -> Array:
    """Return by how much the validation rows of the segments are harder than all of them, (settings,) in log-odds.

    All runs of a setting are scored on the same sample, so its luck is no property of any run.

    Args:
        table: recorded episodes.
        tasks: of `recorded_tasks`.
    """
    return np.array([_shift(rows, tasks.take([index])) for index, rows in enumerate(_settings(table))])


def on_all_rows(skill: Array, shift: Array | float) -> Array:
    """Return the skill on all validation rows from that on the sample; what is no better than a guess stays."""
    moved = sigmoid(logit(np.clip(skill, LEAST_SKILL, MOST_SKILL)) + shift)
    return np.where(skill > LEAST_SKILL, moved, skill)


def _settings(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for _, rows in table.groupby(_SETTING, sort=True):
        yield rows


def _describe(rows: pd.DataFrame, family: int) -> TaskBatch:
    """Return the descriptors of one setting, a batch of one."""
    dense, opened = rows[rows["controller"] == "dense"], rows[rows["segment"] == 0]
    counted = {name: float(rows[name].iloc[0]) for name in ("n_classes", "majority", "pool_size", "budget")}
    counted["dense_accuracy"] = float(dense.drop_duplicates("episode")["final_accuracy"].mean())
    counted["dense_loss"] = float(_at_end(dense)["validation_loss"].mean())
    counted["size_open"] = float(opened["size_ratio"].mean())
    counted["family"] = float(family)
    # What follows from the learning curve comes below, once skills can be told.
    values = dict.fromkeys((field.name for field in fields(TaskBatch)), 0.0) | counted
    task = TaskBatch(**{name: np.full(1, value) for name, value in values.items()})
    shift = _shift(rows, task)
    found: dict[str, Array] = {}
    for name, end in (
        ("accuracy", accuracy_skill(task.dense_accuracy, task)),
        ("loss", loss_skill(task.dense_loss, task)),
    ):
        start = float(np.median(_skills(opened, name, task, shift)))
        runs = [_skills(run, name, task, shift) for _, run in dense[dense["segment"] > 0].groupby("episode")]
        curves = [fit_curve(float(end[0]), start, float(run.mean()), len(run)) for run in runs]
        speed, power = np.exp(np.log(curves).mean(axis=0))
        known = {f"start_{name}": start, f"{name}_speed": speed, f"{name}_power": power}
        found |= {key: np.full(1, value) for key, value in known.items()}
    return replace(task, **found)


def _skills(rows: pd.DataFrame, name: str, task: TaskBatch, shift: float) -> Array:
    values = rows[f"validation_{name}"].to_numpy(float)
    return on_all_rows(accuracy_skill(values, task), shift) if name == "accuracy" else loss_skill(values, task)


def _shift(rows: pd.DataFrame, task: TaskBatch) -> float:
    seen = _at_end(rows[rows["controller"] == "dense"])["validation_accuracy"].mean()
    sample, whole = (
        np.clip(accuracy_skill(accuracy, task), LEAST_SKILL, MOST_SKILL)
        for accuracy in (np.full(1, seen), task.dense_accuracy)
    )
    return float((logit(whole) - logit(sample))[0])


def _at_end(dense: pd.DataFrame) -> pd.DataFrame:
    """Return the last two segments of every run: one alone is noisy."""
    return dense[dense["segment"] >= dense["n_segments"] - 1]
