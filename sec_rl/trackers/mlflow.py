"""MLflow; needs the extra `mlflow`, whose client is enough."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

EXPERIMENT = "sec-rl"


class MlflowTracker:
    """A run of the experiment `sec-rl`; see `sec_rl.trackers.Tracker`.

    In files below `FOLDER/mlflow`, unless `MLFLOW_TRACKING_URI` names another place.

    Args:
        folder: of the run; its name is the run's.
    """

    def __init__(self, folder: Path) -> None:
        # Its own report of who uses it is a network call nobody asked for; plain files are opened on request only.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI") or (folder.resolve() / "mlflow").as_uri()
        self._client = MlflowClient(tracking_uri=place)
        known = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = self._client.create_experiment(EXPERIMENT) if known is None else known.experiment_id
        self._run = self._client.create_run(experiment, run_name=folder.resolve().name).info.run_id
        self._step = 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve, see `Tracker.log`."""
        from mlflow.entities import Metric

        self._step, now = step, int(time.time() * 1000)  # noqa: TID251 - MLflow's points carry the time of day
        self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in values.items()])

    def finish(self, summary: Mapping[str, float]) -> None:
        """Write the last figures as points of the last step, and end the run, see `Tracker.finish`."""
        self.log(self._step, summary)
        self._client.set_terminated(self._run)
