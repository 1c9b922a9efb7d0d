"""All worlds of a family at once: a training of every world for every preference is one pass over arrays.

Each world opens its lanes itself, so that what it meets does not depend on which others are beside it; they are then
put side by side. A step of three hundred lanes costs little more than one of ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.worlds import FORMAT_SPEEDUP, Outcomes, World, controller_seed, outcomes_of
from sec_rl.agents.evaluate import play
from sec_rl.agents.lanes import LaneController
from sec_rl.agents.simulated_lanes import SimulatorVecEnv
from sec_rl.backends.simulator.dynamics import Ensemble
from sec_rl.backends.simulator.model import Simulator
from sec_rl.backends.simulator.tasks import TaskBatch
from sec_rl.envs.batch import PreferenceBatch
from sec_rl.errors import InputError
from sec_rl.values import Preference


@dataclass(frozen=True)
class Worlds:
    """Worlds of one judge, with equal segments and preferences.

    Attributes:
        worlds: at least one.

    Raises:
        InputError: there is none, or they differ in what they must share.
    """

    worlds: tuple[World, ...]

    def __post_init__(self) -> None:
        if len({(world.n_segments, world.preferences) for world in self.worlds}) != 1:
            raise InputError("Worlds stand side by side only with equal segments and preferences.")

    def __len__(self) -> int:
        return len(self.worlds)

    @property
    def seeds(self) -> list[int]:
        """Seed of each world."""
        return [world.seed for world in self.worlds]

    @property
    def n_segments(self) -> int:
        """Segments of a run."""
        return self.worlds[0].n_segments

    @property
    def preferences(self) -> tuple[Preference, ...]:
        """What is asked for in every world."""
        return self.worlds[0].preferences

    @property
    def passes(self) -> float:
        """Example passes of one training, the mean over worlds."""
        return sum(world.passes for world in self.worlds) / len(self)

    @property
    def tasks(self) -> TaskBatch:
        """Return the task of every world."""
        return TaskBatch.joined([world.simulator.tasks for world in self.worlds])

    def take(self, chosen: Sequence[int]) -> Worlds:
        """Return some of the worlds, by their place."""
        return Worlds(tuple(self.worlds[place] for place in chosen))

    def lanes(self, training: int, copies: int = 1, *, simulator: Simulator | None = None) -> SimulatorVecEnv:
        """Open a training for every world and preference, see `World.lanes`.

        Args:
            training: its number.
            copies: lanes side by side per preference; worlds come one after the other.
            simulator: opens the tasks in another simulator instead.
        """
        states = []
        for world in self.worlds:
            env = world.lanes(training, copies, simulator=simulator)
            env.reset()
            states.append(env.state_dict())
        if simulator is None:
            before = 0
            for world, state in zip(self.worlds, states, strict=True):
                state["lanes"]["_members"] = state["lanes"]["_members"] + before
                before += world.simulator.ensemble.n_members
            simulator = _joined([world.simulator for world in self.worlds])
        return _SideBySide(simulator, _joined_states(states), self, copies)

    def train(self, controller: LaneController, training: int = 0) -> Outcomes:
        """Let a controller drive one training per world and preference; returns (worlds, preferences, 6)."""
        env = self.lanes(training)
        play(env, controller, controller_seed(self.worlds[0].seed, training))
        return self.outcomes(env, training)

    def outcomes(self, env: SimulatorVecEnv, training: int = 0) -> Outcomes:
        """Return what the runs of all lanes ended with, (worlds, preferences x copies, 6), see `World.outcomes`."""
        each = env.num_envs // len(self)
        luck = np.concatenate([world.luck(training, each) for world in self.worlds])
        wishes = self.wishes(each // len(self.preferences))
        reference = np.repeat(self.tasks.dense_accuracy, each)
        return outcomes_of(env, luck, wishes, reference).reshape(len(self), each, -1)

    def wishes(self, copies: int) -> PreferenceBatch:
        """Return what every lane asks for."""
        asked = [each for each in self.preferences for _ in range(copies)]
        return PreferenceBatch.of(asked * len(self), FORMAT_SPEEDUP)


class _SideBySide(SimulatorVecEnv):
    """Lanes that begin where others were opened; all end in the same step.

    Args:
        simulator: steps all of them.
        start: state of all lanes before the first step.
        worlds: what they are.
        copies: see `Worlds.lanes`.
    """

    def __init__(self, simulator: Simulator, start: dict[str, Any], worlds: Worlds, copies: int) -> None:
        each = copies * len(worlds.preferences)
        task = worlds.tasks.take(np.repeat(np.arange(len(worlds)), each))
        super().__init__(
            simulator,
            each * len(worlds),
            0,
            draw=lambda _, __: task.take(np.arange(len(task))),
            prefer=lambda _, __: worlds.wishes(copies),
            segments=(worlds.n_segments,),
        )
        self._start = start

    def reset(self) -> Any:
        """Go to the start."""
        super().reset()
        self.load_state_dict(self._start)
        return self._observe()


def _joined(simulators: Sequence[Simulator]) -> Simulator:
    """Return the simulator whose members are those of several simulators of one judge, in turn."""
    tasks = TaskBatch.joined([each.tasks for each in simulators])
    names = tuple(name for each in simulators for name in each.names)
    return replace(
        simulators[0], ensemble=Ensemble.joined([each.ensemble for each in simulators]), tasks=tasks, names=names
    )


def _joined_states(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the states of several environments as that of one, their lanes one after the other."""
    parts = {
        part: {name: np.concatenate([each[part][name] for each in states]) for name in states[0][part]}
        for part in ("lanes", "wishes", "own")
    }
    # What comes after the end counts for nothing; any generator will do.
    return {**parts, "generator": states[0]["generator"]}
