"""The simulator as one vectorised environment of stable-baselines3, doing all that `SynergyEnv` does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sec_rl.agents.episode_plan import SEGMENTS
from sec_rl.agents.preferences import draw_preferences
from sec_rl.backends.simulator.lanes import Opening, SimulatorLanes, draw_opening
from sec_rl.backends.simulator.model import Simulator
from sec_rl.backends.simulator.tasks import TaskBatch, draw_tasks
from sec_rl.envs.action import (
    ACTION_SCALE,
    ActionMode,
    Limits,
    action_names,
    apply_actions,
    compression_window,
    lever_settings,
)
from sec_rl.envs.batch import SLOPE_WINDOW, PreferenceBatch, StateBatch
from sec_rl.envs.drive import INITIAL, collapsed_lanes
from sec_rl.envs.observation import LOW_HIGH, OBSERVATION_NAMES, encode_batch, encode_wishes
from sec_rl.envs.targets import HALVINGS_OF_GOAL
from sec_rl.envs.utility import utility_terms_batch
from sec_rl.values import Levers, Ratios

# Draws the tasks of new episodes: (how many, generator) -> tasks.
DrawTasks = Callable[[int, np.random.Generator], TaskBatch]
DrawPreferences = Callable[[NDArray[np.float64], np.random.Generator], PreferenceBatch]


class SimulatorVecEnv(VecEnv):
    """Simulated episodes side by side, a new task, length and preference in each.

    How many steps an episode has does not depend on the actions, so one generator serves all lanes and yet every
    controller meets the same episodes: two environments of one seed are common random numbers.

    Args:
        simulator: fitted dynamics.
        n_lanes: episodes side by side.
        seed: of everything random.
        draw: draws tasks; None: mixtures of the recorded ones.
        prefer: draws preferences.
        segments: lengths to draw from.
        initial: ratios that the first action starts from.
        mode: entries of the action; of `levers`, an action of two entries leaves the levers as they are by default.

    Attributes:
        ended: state of all lanes when an episode last ended in one of them, as it was observed; None before.
        ended_accuracy: (lanes,) their accuracy then without the noise of the validation sample.
    """

    # There is nothing to render; stable-baselines3 asks.
    render_mode = None

    def __init__(
        self,
        simulator: Simulator,
        n_lanes: int,
        seed: int,
        *,
        draw: DrawTasks | None = None,
        prefer: DrawPreferences = draw_preferences,
        segments: Sequence[int] = SEGMENTS,
        initial: Ratios = INITIAL,
        mode: ActionMode = "ratios",
    ) -> None:
        self._initial = initial
        low, high = np.array(list(LOW_HIGH.values()), np.float32).T
        observation_space = spaces.Box(low, high, (len(OBSERVATION_NAMES),), np.float32)
        super().__init__(n_lanes, observation_space, spaces.Box(-1.0, 1.0, (len(action_names(mode)),), np.float32))
        self._simulator, self._segments = simulator, np.array(segments)
        self._draw = draw or (lambda n, generator: draw_tasks(simulator.tasks, n, generator))
        self._prefer, self._limits = prefer, Limits()
        # The grid that the bisection of `envs.targets` walks on.
        self._grid = np.linspace(0.0, self._limits.compression_max, 2**HALVINGS_OF_GOAL + 1)
        self._grid_latency = simulator.curves.latency_ratio(self._grid)
        self._grid_saved = simulator.curves.size_saved(self._grid)
        self._generator = np.random.default_rng(seed)
        self._levers = np.tile(np.array(astuple(Levers())), (n_lanes, 1))
        self._infos: list[dict[str, Any]] = [{} for _ in range(n_lanes)]
        self._actions = np.zeros((n_lanes, 2), np.float32)
        self._lanes: SimulatorLanes | None = None
        self.ended: StateBatch | None = None
        self.ended_accuracy = np.zeros(n_lanes)

    def reset(self) -> NDArray[np.float32]:
        """Start an episode in every lane."""
        lanes = np.arange(self.num_envs)
        opening, wishes = self._new(self.num_envs)
        self._lanes = SimulatorLanes(self._simulator, opening, int(self._segments.max()))
        n = self.num_envs
        self._wishes = wishes
        self._encoded = np.zeros((n, len(OBSERVATION_NAMES)), np.float32)[:, -10:]
        self._ratios, self._step_scale, self._goal = np.zeros((n, 2)), np.ones(n), np.zeros(n)
        self._resting = np.zeros(n, np.bool_)
        # Accuracy and bounded loss of the last segments, the latest first.
        self._recent = np.zeros((n, 2, SLOPE_WINDOW + 1))
        self._first, self._best, self._utility = np.zeros(n), np.zeros(n), np.zeros(n)
        self._begin(lanes)
        return self._observe()

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take note of the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Take one segment in every lane; lanes that end start a new episode."""
        lanes = self._opened()
        before = lanes.accuracy.copy()
        asked = self._levers if self._actions.shape[1] == 2 else lever_settings(np.nan_to_num(self._actions))
        target, forced = self._guarded()
        lanes.advance(target, asked)
        # As in `Drive.settle`: what is forced stays, and the first segment has no model to return to.
        may_return = (lanes.segment > 1.0) & ~(forced & (lanes.segment < lanes.n_segments))
        lost = collapsed_lanes(before, lanes.accuracy, lanes.tasks.n_classes) & may_return
        if lost.any():
            lanes.rollback(lost)
            self._step_scale = np.where(lost, self._step_scale / 2.0, self._step_scale)
        self._resting = lost
        self._ratios = np.stack([lanes.data, lanes.compression], axis=1)
        self._remember()
        state = self._state()
        after = self._total(state)
        rewards = (after - self._utility).astype(np.float32)
        self._utility = after
        done = lanes.segment >= lanes.n_segments
        observation = encode_batch(state, self._encoded)
        infos = self._infos
        if done.any():
            # Copied: opening writes into the arrays of the state.
            self.ended, self.ended_accuracy = copy.deepcopy(state), lanes.true_accuracy
            infos = list(infos)
            ended = np.flatnonzero(done)
            for lane in ended:
                infos[lane] = {"terminal_observation": observation[lane].copy(), "TimeLimit.truncated": False}
            opening, wishes = self._new(len(ended))
            lanes.open(ended, opening)
            for field in fields(PreferenceBatch):
                getattr(self._wishes, field.name)[ended] = getattr(wishes, field.name)
            self._begin(ended)
            observation = self._observe()
        return observation, rewards, done, infos

    def close(self) -> None:
        """There is nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the whole, once per lane asked for."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Lanes have no attributes of their own."""
        raise NotImplementedError("the lanes of a simulator have no attributes of their own")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Lanes have no methods of their own."""
        raise NotImplementedError("the lanes of a simulator have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that no lane is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, generator included: arrays and JSON-ready values."""
        names = ("_encoded", "_ratios", "_step_scale", "_resting", "_goal", "_recent", "_first", "_best", "_utility")
        return {
            "lanes": self._opened().state_dict(),
            "wishes": {field.name: getattr(self._wishes, field.name).copy() for field in fields(PreferenceBatch)},
            "own": {name: getattr(self, name).copy() for name in names},
            "generator": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, bit for bit."""
        if self._lanes is None:
            self.reset()
        self._opened().load_state_dict(state["lanes"])
        self._wishes = PreferenceBatch(**{name: value.copy() for name, value in state["wishes"].items()})
        for name, value in state["own"].items():
            setattr(self, name, value.copy())
        self._generator.bit_generator.state = state["generator"]

    def _opened(self) -> SimulatorLanes:
        if self._lanes is None:
            raise RuntimeError("reset() comes before step()")
        return self._lanes

    def _new(self, n: int) -> tuple[Opening, PreferenceBatch]:
        tasks = self._draw(n, self._generator)
        n_segments = self._generator.choice(self._segments, n)
        opening = draw_opening(self._simulator, tasks, n_segments, self._generator)
        return opening, self._prefer(tasks.size_open, self._generator)

    def _begin(self, started: NDArray[np.int64]) -> None:
        """Set everything that is counted from an episode's start."""
        lanes = self._opened()
        self._encoded[started] = encode_wishes(self._wishes)[started]
        self._ratios[started] = (self._initial.data, self._initial.compression)
        self._step_scale[started], self._resting[started] = 1.0, False
        self._goal[started] = self._goals()[started]
        chosen = lanes.accuracy[started], self._bounded_loss()[started]
        self._recent[started] = np.stack(chosen, axis=1)[:, :, None]
        self._first[started] = self._best[started] = lanes.accuracy[started]
        self._utility[started] = self._total(self._state())[started]

    def _goals(self) -> NDArray[np.float64]:
        """Return the smallest compression ratio that meets every target, NaN without one; see `envs.targets`."""
        wishes, size_open = self._wishes, self._opened().tasks.size_open
        # Both curves are monotone: the first grid point that is enough is found by bisection.
        wanted = wishes.format_speedup / wishes.target_speedup
        by_speed = np.searchsorted(-self._grid_latency, -np.where(np.isnan(wanted), 1.0, wanted))
        missing = size_open - np.where(np.isnan(wishes.target_size_ratio), 1.0, wishes.target_size_ratio)
        by_size = np.searchsorted(self._grid_saved, np.maximum(missing, 0.0))
        goal = self._grid[np.minimum(np.maximum(by_speed, by_size), len(self._grid) - 1)]
        free = np.isnan(wishes.target_speedup) & np.isnan(wishes.target_size_ratio)
        return np.where(free, np.nan, goal)

    def _guarded(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the ratios of the next segment as `Drive` bounds them, and where the targets force them up."""
        lanes = self._opened()
        wanted = apply_actions(self._ratios, np.nan_to_num(self._actions[:, :2]), self._limits)
        now = self._ratios[:, 1]
        compression = np.minimum(wanted[:, 1], now + np.where(self._resting, 0.0, self._step_scale * ACTION_SCALE[1]))
        left = lanes.n_segments - lanes.segment - 1.0
        low, high = compression_window(self._goal, now, left, lanes.n_segments, self._limits.compression_max)
        bounded = np.minimum(np.maximum(compression, low), np.maximum(high, np.minimum(now, wanted[:, 1])))
        return np.stack([wanted[:, 0], bounded], axis=1), bounded > np.maximum(compression, now)

    def _remember(self) -> None:
        lanes = self._opened()
        self._recent[:, :, 1:] = self._recent[:, :, :-1].copy()
        self._recent[:, 0, 0], self._recent[:, 1, 0] = lanes.accuracy, self._bounded_loss()
        self._first = np.where(lanes.segment == 1.0, lanes.accuracy, self._first)
        self._best = np.maximum(self._best, lanes.accuracy)

    def _bounded_loss(self) -> NDArray[np.float64]:
        lanes = self._opened()
        return lanes.loss / (lanes.loss + np.log(lanes.tasks.n_classes))

    def _state(self) -> StateBatch:
        lanes = self._opened()
        span = np.clip(lanes.segment, 1, SLOPE_WINDOW)
        back = np.minimum(lanes.segment, SLOPE_WINDOW).astype(np.int64)
        rows = np.arange(self.num_envs)
        return StateBatch(
            segment=lanes.segment,
            n_segments=lanes.n_segments,
            n_classes=lanes.tasks.n_classes,
            data_ratio=lanes.data,
            compression_ratio=lanes.compression,
            accuracy=self._recent[:, 0, 0],
            loss=self._recent[:, 1, 0],
            first_accuracy=self._first,
            best_accuracy=self._best,
            accuracy_before=self._recent[rows, 0, back],
            loss_before=self._recent[rows, 1, back],
            span=span,
            label_fraction=lanes.labels,
            passes_fraction=lanes.segment / lanes.n_segments,
            size_ratio=lanes.size_ratio,
            latency_ratio=lanes.latency_ratio,
        )

    def _total(self, state: StateBatch) -> NDArray[np.float64]:
        terms = utility_terms_batch(state, self._wishes, self._opened().tasks.dense_accuracy)
        total: NDArray[np.float64] = np.sum(list(terms.values()), axis=0)
        return total

    def _observe(self) -> NDArray[np.float32]:
        return encode_batch(self._state(), self._encoded)
