"""The Gymnasium environment: synergy control of a fine-tuning run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sec_rl.envs.action import ActionMode, Limits, action_names
from sec_rl.envs.drive import INITIAL, Drive, Step
from sec_rl.envs.observation import LOW_HIGH, OBSERVATION_NAMES
from sec_rl.envs.session import OpenedSession
from sec_rl.errors import InputError, unknown_name
from sec_rl.values import Levers, Preference, Ratios

OpenSession = Callable[[int], OpenedSession]
DrawPreference = Callable[[np.random.Generator], Preference]


class SynergyEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Steer the data ratio and the compression ratio of one fine-tuning run.

    **Episode**: one run, from the opened session to its last segment; a step is a segment. It terminates after
    `n_segments` steps and is never truncated.

    **Action**: ``Box(-1, 1, (2,))``, by how much the two ratios change; ``action_mode="levers"`` adds four settings.
    The table is in `sec_rl.envs.action`: entry 0 moves the data ratio by up to 0.5 of the pool, entry 1 the
    compression ratio by up to 0.25 of the dense prunable cost; 2 to 5 set augmentation strength, pseudo-label share,
    distillation weight and depth share. Where data and weights both shrink, the two share one budget of 1.

    **Observation**: ``Box((24,))``, the same layout for every task, encoder and device. The table of entries, units
    and ranges is in `sec_rl.envs.observation`, `OBSERVATION_NAMES` has the order.

    **Reward**: utility(after) - utility(before), see `sec_rl.envs.utility`; with discount 1 the return is the final
    utility minus that of the untrained encoder. Targets are penalties that vanish when met.

    **Guards**: with targets for speed or size, the compression ratio stops at the smallest value that meets them and
    never falls out of their reach. A segment that loses more than half of what was learned over chance is rolled
    back: the model returns, the segment stays spent, the next one removes nothing, later compression steps are half
    as wide; except where the targets leave no time to put the removal off (`sec_rl.envs.drive`).

    **Info** of `step`: `metrics` (see `sec_rl.values.Metrics`), `reward_terms`, `target` (data and compression ratio
    that the session was asked for), `rolled_back`, `rollbacks` (so far).

    **Reset**: `seed` decides everything random in the episode; `options={"preference": Preference(...)}` sets the
    preference of this episode.

    Args:
        open_session: opens a run for a seed.
        preference: of every episode, or a function that draws one.
        action_mode: ``"ratios"`` (2 entries) or ``"levers"`` (6).
        limits: where the ratios may go.
        levers: how segments realise their ratios, where the action does not say.
        initial: ratios that the first action starts from.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  Gymnasium's own declaration

    def __init__(
        self,
        open_session: OpenSession,
        *,
        preference: Preference | DrawPreference | None = None,
        action_mode: ActionMode = "ratios",
        limits: Limits | None = None,
        levers: Levers | None = None,
        initial: Ratios = INITIAL,
    ) -> None:
        if action_mode not in ("ratios", "levers"):
            raise unknown_name("action mode", action_mode, ("ratios", "levers"))
        low, high = np.array(list(LOW_HIGH.values()), np.float32).T
        self.observation_space = spaces.Box(low, high, (len(OBSERVATION_NAMES),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (len(action_names(action_mode)),), np.float32)
        self._open, self._preference, self._mode = open_session, preference or Preference(), action_mode
        self._limits, self._levers, self._initial = limits or Limits(), levers or Levers(), initial
        self._drive: Drive | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open a new run.

        Raises:
            InputError: an option is unknown, or its preference is none.
        """
        super().reset(seed=seed)
        preference = self._wanted(options or {})
        opened = self._open(int(self.np_random.integers(2**31)))
        self._drive = Drive(
            opened,
            preference=preference,
            limits=self._limits,
            levers=self._levers,
            initial=self._initial,
            action_mode=self._mode,
        )
        return self._drive.observe().copy(), {"metrics": opened.metrics.to_dict(), "rollbacks": 0}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Train one segment.

        Raises:
            InputError: the action is none, the episode is over, or there was no reset.
        """
        if self._drive is None:
            raise InputError("The environment was not reset; call reset() before step().")
        taken = self._drive.act(np.asarray(action))
        return self._drive.observe().copy(), taken.reward or 0.0, self._drive.done, False, self._info(taken)

    def _info(self, taken: Step) -> dict[str, Any]:
        assert self._drive is not None
        return {
            "metrics": taken.metrics.to_dict(),
            "reward_terms": taken.reward_terms,
            "target": None if taken.target is None else (taken.target.data, taken.target.compression),
            "rolled_back": taken.rolled_back,
            "rollbacks": self._drive.rollbacks,
        }

    def _wanted(self, options: dict[str, Any]) -> Preference:
        for name in options:
            if name != "preference":
                raise unknown_name("reset option", name, ("preference",))
        wanted = options.get("preference", self._preference)
        if callable(wanted):
            wanted = wanted(self.np_random)
        if not isinstance(wanted, Preference):
            raise InputError(f"The preference is {wanted!r}; it must be a sec_rl.values.Preference.")
        return wanted
