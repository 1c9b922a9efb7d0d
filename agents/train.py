"""Learning a policy: tune and clone a schedule, learn, evaluate, keep the best."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.vec_env import VecEnv

from sec_rl.agents.baselines import TargetSchedule
from sec_rl.agents.checkpoint import has_state, load_state, save_state
from sec_rl.agents.evaluate import Judge, evaluate, paired_difference
from sec_rl.agents.lanes import LaneController, OpenLanes, StatefulLanes
from sec_rl.agents.learners.algorithms import Algorithm, algorithm_named, settings_of
from sec_rl.agents.learners.cloning import clone, demonstrate
from sec_rl.agents.learners.paired import LearningDivergedError, PairedLanes
from sec_rl.agents.learners.seam import Learner, Lesson
from sec_rl.agents.network import Network
from sec_rl.agents.policy import Policy, layer_tensors, network_from, save_policy
from sec_rl.agents.responsive import ResponsiveSchedule
from sec_rl.agents.training_folder import (
    TENSORBOARD,
    TRAINING,
    Progress,
    append_progress,
    keep_config,
    open_training_folder,
    rewind_progress,
)
from sec_rl.agents.training_plan import TrainingPlan
from sec_rl.agents.tuning import Tuned, tune_schedules
from sec_rl.errors import InputError

# Episodes of the final scores; those of the evaluations chose the policy and would flatter it.
_FINAL_EPISODES = 4096


@dataclass
class Standing:
    """How far a training is.

    Attributes:
        best: the best policy so far, by mean return in the evaluations.
        best_return: of it.
        best_step: when it was found.
        stale: evaluations since.
        learning_seconds: spent in the learner, `seconds`: in all.
    """

    best: Network
    best_return: float = -np.inf
    best_step: int = 0
    stale: int = 0
    learning_seconds: float = 0.0
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return arrays and JSON-ready values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "best"}
        network = {**layer_tensors(self.best), "mean": self.best.mean, "scale": self.best.scale}
        return {**values, "best": network, "squash": self.best.squash}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Standing:
        """Return what `state_dict` was taken from."""
        values = {name: state[name] for name in cls.__dataclass_fields__ if name != "best"}
        layers = {name: value for name, value in state["best"].items() if name.startswith("layer")}
        best = network_from(layers, state["best"]["mean"], state["best"]["scale"], state["squash"])
        return cls(best, **values)


def train(
    open_lanes: OpenLanes,
    out: Path,
    plan: TrainingPlan,
    *,
    start: Policy | None = None,
    tuned: Tuned | None = None,
    learn_in: VecEnv | None = None,
    provenance: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Policy:
    """Learn a policy and write its folder.

    Args:
        open_lanes: opens the simulator; it is tuned, demonstrated and evaluated in, and learned in.
        out: folder of the policy, see `sec_rl.agents.training_folder`.
        plan: what to do.
        start: policy to start from instead of the schedules whose labels follow a run.
        tuned: the best schedules in these lanes; None: they are found now. Policies of several seeds can share them.
        learn_in: lanes to learn in instead, such as real runs.
        provenance: what the policy should say about itself, JSON-ready, such as the simulator it was learned on.
        resume: go on with a training that was interrupted, bit for bit.
        overwrite: replace an earlier one.
        on_progress: called after each evaluation, when its state is on disk.

    Returns:
        the best policy by evaluation; the last one where `learn_in` was learned in.

    Raises:
        InputError: the plan is wrong, cannot be resumed, or differs from the one that is to be resumed.
        RunFolderError: the folder is taken, see `open_training_folder`.
        LearningDivergedError: something became no number; the best policy until then is written.
    """
    algorithm = algorithm_named(plan.algorithm)
    settings = settings_of(algorithm, plan.settings)
    resumes = algorithm.resumes and (learn_in is None or hasattr(learn_in, "state_dict"))
    if resume and not resumes:
        raise InputError(
            f"Training with {plan.algorithm!r} in these lanes cannot be resumed exactly: the state of its "
            "replay buffer or of real runs is not saved. Start anew with --overwrite."
        )
    config = {
        **asdict(plan),
        "settings": asdict(settings),
        "start": None if start is None else start.network.fingerprint(),
        "provenance": dict(provenance or {}),
    }
    tune_seed, show_seed, learn_seed, judge_seed, final_seed = map(
        int, np.random.SeedSequence(plan.seed).generate_state(5) // 2
    )
    with open_training_folder(out, resume=resume, overwrite=overwrite), _threads(plan.threads), _logger(out) as log:
        keep_config(out, config, resume=resume)
        tuned = tuned or tune_schedules(open_lanes, seed=tune_seed)
        teacher = start or tuned.responsive
        pairs = algorithm.paired and learn_in is None
        open_stage = _paired(open_lanes, teacher, settings.anchor) if pairs else open_lanes
        env = learn_in if learn_in is not None else open_stage(plan.lanes, learn_seed)
        lesson = _lesson(open_stage, env, algorithm, plan, teacher, show_seed, log)
        learner = algorithm.build(lesson, settings)
        judge = Judge(open_lanes, tuned.schedule, episodes=plan.episodes, seed=judge_seed)
        course = _Course(out, plan, learner, env, judge, log, on_progress or (lambda _: None), resumes)
        ended = course.run(Standing(lesson.start), resume=resume)
        # What real runs taught, a simulator that was wrong about them cannot judge.
        keeps_last = learn_in is not None and course.fault is None
        network = learner.network() if keeps_last else course.standing.best
        policy = Policy(network, "ratios" if start is None else start.action_mode)
        scores = _scores(open_lanes, policy, tuned, final_seed)
        about = _about(plan, settings, tuned, course.standing, ended, learner.steps)
        policy = replace(policy, scores=scores, provenance={**about, **(provenance or {})})
        save_policy(policy, out)
        if course.fault is not None:
            raise LearningDivergedError(
                f"{course.fault} The best policy so far, of step {course.standing.best_step}, is in {str(out)!r}."
            ) from course.fault
    return policy


class _Course:
    """The loop: learn, evaluate, write down, save."""

    def __init__(
        self,
        out: Path,
        plan: TrainingPlan,
        learner: Learner,
        env: VecEnv,
        judge: Judge,
        log: Logger,
        report: Callable[[Progress], None],
        resumes: bool,
    ) -> None:
        self._out, self._plan, self._learner, self._env = out, plan, learner, env
        self._judge, self._log, self._report, self._resumes = judge, log, report, resumes
        self.fault: LearningDivergedError | None = None

    def run(self, standing: Standing, *, resume: bool) -> str:
        """Learn to the end and return why it ended: `budget`, `no gain` or `diverged`."""
        self.standing, states = standing, self._out / TRAINING
        self._since = time.perf_counter()
        if resume and has_state(states):
            self._go_on(load_state(states))
        else:
            rewind_progress(self._out, -1)
            self._evaluate()
        while self._learner.steps < self._plan.steps:
            if self.standing.stale >= self._plan.patience:
                return "no gain"
            left = self._plan.steps - self._learner.steps
            before = time.perf_counter()
            try:
                self._learner.learn(min(self._plan.evaluate_every, left))
            except LearningDivergedError as error:
                self.fault = error
                return "diverged"
            self.standing.learning_seconds += time.perf_counter() - before
            self._evaluate()
        return "budget"

    def _go_on(self, state: Mapping[str, Any]) -> None:
        self.standing = Standing.from_state(state["standing"])
        cast(StatefulLanes, self._env).load_state_dict(state["lanes"])
        self._learner.load_state_dict(state["learner"])
        rewind_progress(self._out, self._learner.steps)

    def _evaluate(self) -> None:
        """Score the policy as it stands, remember it if it is the best, save the state, report."""
        standing, steps = self.standing, self._learner.steps
        network = self._learner.network()
        mean, ahead = self._judge.score(Policy(network))
        improved = mean > standing.best_return
        if improved:
            standing.best, standing.best_return, standing.best_step = network, mean, steps
        standing.stale = 0 if improved else standing.stale + 1
        now = time.perf_counter()
        standing.seconds, self._since = standing.seconds + now - self._since, now
        rate = steps / standing.learning_seconds if steps else 0.0
        left = standing.seconds / steps * max(self._plan.steps - steps, 0) if steps else None
        figures = (mean, ahead.mean, ahead.low, ahead.high)
        progress = Progress(steps, self._plan.steps, standing.seconds, rate, left, *figures, improved)
        append_progress(self._out, progress)
        for name in ("mean_return", "difference", "low", "high"):
            self._log.record(f"evaluation/{name}", getattr(progress, name))
        self._log.dump(steps)
        if self._resumes:
            self._save(steps)
        self._report(progress)

    def _save(self, steps: int) -> None:
        lanes = cast(StatefulLanes, self._env).state_dict()
        state = {"standing": self.standing.state_dict(), "lanes": lanes, "learner": self._learner.state_dict()}
        save_state(self._out / TRAINING, steps, state)


def _paired(open_lanes: OpenLanes, reference: LaneController, anchor: float) -> OpenLanes:
    """Return what opens lanes together with their twin."""
    return lambda n, seed: PairedLanes(open_lanes(n, seed), open_lanes(n, seed), reference, anchor=anchor)


def _lesson(
    open_lanes: OpenLanes,
    env: VecEnv,
    algorithm: Algorithm,
    plan: TrainingPlan,
    teacher: Policy | ResponsiveSchedule,
    seed: int,
    log: Logger,
) -> Lesson:
    """Let the teacher show what it does, and clone it; a policy that fits is taken as it is."""
    stage = open_lanes(plan.lanes, seed)
    shown = demonstrate(stage, teacher, seed=seed)
    stage.close()
    if isinstance(teacher, Policy) and teacher.network.squash == algorithm.squash:
        network = teacher.network
    else:
        network = clone(shown, squash=algorithm.squash, seed=seed)
    return Lesson(env, network, shown, plan.steps, seed, log)


def _scores(open_lanes: OpenLanes, policy: Policy, tuned: Tuned, seed: int) -> dict[str, Any]:
    """Return what the policy is worth in episodes that chose nothing, against the schedules."""

    def returns(controller: LaneController) -> NDArray[np.float64]:
        return evaluate(open_lanes, controller, episodes=_FINAL_EPISODES, seed=seed)

    ours = returns(policy)
    scores: dict[str, Any] = {"episodes": _FINAL_EPISODES, "mean_return": float(ours.mean())}
    rivals = {
        "best_fixed": tuned.schedule,
        "best_preferred": tuned.preferred,
        "responsive": tuned.responsive,
        "cubic": TargetSchedule(follows_targets=False),
    }
    for name, rival in rivals.items():
        scores[f"ahead_of_{name}"] = asdict(paired_difference(ours, returns(rival)))
    return scores


def _about(
    plan: TrainingPlan, settings: Any, tuned: Tuned, standing: Standing, ended: str, steps: int
) -> dict[str, Any]:
    """Return where the policy came from."""
    return {
        **asdict(plan),
        "settings": asdict(settings),
        "best_fixed": asdict(tuned.schedule),
        "ended": ended,
        "steps_taken": steps,
        "best_step": standing.best_step,
        "versions": {name: version(name) for name in ("sec-rl", "numpy", "torch", "stable-baselines3")},
    }


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Give torch `count` threads for a while; small networks are fastest on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _logger(out: Path) -> Iterator[Logger]:
    folder = str(out / TENSORBOARD)
    logger = Logger(folder, [TensorBoardOutputFormat(folder)])
    try:
        yield logger
    finally:
        logger.close()
