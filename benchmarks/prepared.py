"""What is learned without a task's family: simulator, policy, and the best fixed schedules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import Options
from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.calibrate import calibrate
from sec_rl.agents.controllers import Controller, RandomWalk, ScheduleController
from sec_rl.agents.episode_plan import FAMILIES
from sec_rl.agents.learn import learn, open_lanes_of
from sec_rl.agents.policy import load_policy
from sec_rl.agents.preferred import PreferredSchedule
from sec_rl.agents.schedules import Schedule
from sec_rl.agents.traces import digest as digest_of
from sec_rl.agents.traces import read_traces, without
from sec_rl.agents.training_plan import QUICK_STEPS
from sec_rl.agents.tuning import Tuned, tune_schedules
from sec_rl.backends.simulator.model import load_simulator
from sec_rl.compression.cost_table import CostTable
from sec_rl.envs.drive import INITIAL
from sec_rl.errors import InputError
from sec_rl.files import write_atomically
from sec_rl.values import Ratios

_PREFERRED = "preferred.json"


@dataclass(frozen=True)
class Prepared:
    """What drives the runs of one task.

    Attributes:
        folder: of simulator, policy and latency table.
        encoder: as `sec-rl run` takes it.
        fixed: settings of the best fixed schedule, tuned in the simulator.
    """

    folder: Path
    encoder: str
    fixed: dict[str, Any]

    def controller(self, name: str, n_segments: int) -> tuple[Controller, Ratios]:
        """Return a controller, and the ratios that its first action starts from."""
        if name == "policy":
            return load_policy(self.folder / "policy"), INITIAL
        if name == "best fixed":
            return TargetSchedule(**self.fixed), INITIAL
        if name == "best per preference":
            return load_preferred(self.folder / _PREFERRED), INITIAL
        if name == "random":
            return RandomWalk(), INITIAL
        schedule = ScheduleController(Schedule(name, 1.0, 0.0 if name == "dense" else 0.5, 0, n_segments))
        return schedule, schedule.initial_ratios()

    def made_of(self, name: str) -> Any:
        """Return what tells a controller from one of the same name that was made anew, JSON-ready."""
        if name == "policy":
            return load_policy(self.folder / "policy").network.fingerprint()
        if name == "best per preference":
            return digest(load_preferred(self.folder / _PREFERRED))
        return self.fixed if name == "best fixed" else None

    def table(self) -> CostTable:
        """Return what blocks cost on this device."""
        path = self.folder.parent / "latency_table.json"
        return CostTable.from_dict(json.loads(path.read_text(encoding="utf-8")))


def prepare(
    task: str, traces: Path, options: Options, say: Callable[[str], None], *, steps: int | None = None
) -> Prepared:
    """Calibrate and train without a task's family; what is there already is used again.

    Args:
        task: name of the task.
        traces: folder of recorded episodes.
        options: of the benchmark; `quick` learns for a moment only.
        say: takes one line of progress.
        steps: environment steps of the policy; None: the default of `sec-rl train`.
    """
    family = FAMILIES.get(task, task)
    folder = options.out / f"without-{family}"
    episodes = read_traces(traces)
    # Nothing is to be left out for a task that nobody recorded.
    left_out = [family] if family in set(episodes["family"]) else []
    if not (folder / "simulator" / "simulator.json").is_file():
        say(f"fitting a simulator without {family} ...")
        calibrate(traces, folder / "simulator", leave_out=left_out, quick=options.quick)
    simulator = load_simulator(folder / "simulator")
    if simulator.about.get("sha256") != digest_of(without(episodes, left_out)):
        raise InputError(
            f"The simulator in {str(folder)!r} was fitted to other episodes than those of today; remove the folder."
        )
    lanes = open_lanes_of(simulator)
    tuned: Tuned | None = None
    learned = (folder / "policy" / "policy.json").is_file()
    # A policy starts from the table that it is compared with.
    if not (learned and (folder / _PREFERRED).is_file()):
        say(f"tuning a schedule per preference without {family} ...")
        tuned = tune_schedules(lanes, episodes=64) if options.quick else tune_schedules(lanes)
        save_preferred(tuned.preferred, folder / _PREFERRED)
    if not learned:
        say(f"learning a policy without {family} ...")
        steps = QUICK_STEPS if options.quick else steps
        learn(folder / "policy", simulator=folder / "simulator", steps=steps, tuned=tuned, overwrite=True)
    provenance = load_policy(folder / "policy").provenance
    return Prepared(folder, options.encoder, dict(provenance["best_fixed"]))


def save_preferred(preferred: PreferredSchedule, path: Path) -> None:
    """Write a schedule per preference as JSON."""
    write_atomically(path, _as_json(preferred) + "\n")


def digest(preferred: PreferredSchedule) -> str:
    """Return what tells a schedule per preference from others, a SHA-256."""
    return hashlib.sha256(_as_json(preferred).encode()).hexdigest()


def _as_json(preferred: PreferredSchedule) -> str:
    grid = [asdict(schedule) for schedule in preferred.grid]
    return json.dumps({"grid": grid, "terms": preferred.terms.tolist()})


def load_preferred(path: Path) -> PreferredSchedule:
    """Read what `save_preferred` wrote."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return PreferredSchedule(tuple(TargetSchedule(**each) for each in values["grid"]), np.array(values["terms"]))
