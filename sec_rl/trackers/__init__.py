"""Curves of a run in the tool that a team looks at already: TensorBoard, Weights & Biases, MLflow.

What is tracked stands in the run folder anyway (`trajectory.jsonl`, `progress.jsonl`); a tracker gets the same
numbers as they come. Nothing leaves the machine unless the tool was told to: Weights & Biases is opened offline
without `WANDB_MODE`, MLflow writes into the folder without `MLFLOW_TRACKING_URI`.
"""

from sec_rl.trackers.opening import TRACKERS, check_tracker
from sec_rl.trackers.seam import Tracker
from sec_rl.trackers.tracking import Tracking

__all__ = ["TRACKERS", "Tracker", "Tracking", "check_tracker"]
