"""Tasks: packaged, from a folder, or from the hub; every row is checked before training sees it."""

from __future__ import annotations

from sec_rl.tasks.loading import load_task
from sec_rl.tasks.packaged import PACKAGED_TASKS, TaskInfo, packaged_tasks
from sec_rl.tasks.pool import LabelPool
from sec_rl.tasks.task import Split, Task

__all__ = ["PACKAGED_TASKS", "LabelPool", "Split", "Task", "TaskInfo", "load_task", "packaged_tasks"]
