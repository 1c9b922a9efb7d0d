"""Environments on workers, as stable-baselines3 sees them: a worker that is lost costs time, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sec_rl.agents.lane_keeper import Env, LaneKeeper, Order, Taken
from sec_rl.workers import Hosts
from sec_rl.workers.keepers import Keepers


class WorkerLanes(VecEnv):
    """Lanes that are kept by workers.

    The seed of a lane's n-th episode follows from the seed, the lane and n. Where a worker dies or does not answer in
    time, another one plays the episodes of its lanes again, from their seeds with the recorded actions, and takes the
    step: neither how many workers keep the lanes nor what happens to them changes what the learner sees.

    Args:
        hosts: where workers come from; closed with the lanes.
        make_env: opens an environment that a seed and actions determine; picklable.
        n_lanes: environments.
        seed: of everything random.
        workers: that keep them, as evenly as possible.
        timeout_seconds: longest that a step of a lane may take, the beginning of an episode included.

    Raises:
        WorkerLostError: the workers of a lane were lost three times in one step.
    """

    # There is nothing to render; stable-baselines3 asks.
    render_mode = None

    def __init__(
        self,
        hosts: Hosts,
        make_env: Callable[[], Env],
        n_lanes: int,
        seed: int,
        *,
        workers: int,
        timeout_seconds: float,
    ) -> None:
        self._hosts, self._timeout_seconds = hosts, timeout_seconds
        self._lanes_of = [group.tolist() for group in np.array_split(np.arange(n_lanes), min(workers, n_lanes))]
        self._keepers = Keepers(hosts, [partial(LaneKeeper, make_env, lanes) for lanes in self._lanes_of])
        self._seed, self._episodes = seed, [0] * n_lanes
        self._seeds_now = [0] * n_lanes
        self._past: list[tuple[NDArray[np.float32], ...]] = [()] * n_lanes
        self._orders: list[Order] = []
        nothing: list[tuple[Any, ...]] = [()] * len(self._lanes_of)
        observation_space, action_space = self._keepers.ask("spaces", nothing, lambda *_: timeout_seconds)[0]
        super().__init__(n_lanes, observation_space, action_space)

    def reset(self) -> NDArray[np.float32]:
        """Begin the next episode in every lane."""
        orders = []
        for lane in range(self.num_envs):
            self._seeds_now[lane], self._past[lane] = self._next_seed(lane), ()
            orders.append(Order(lane, self._seeds_now[lane]))
        taken = self._follow(orders)
        self.reset_infos = [each.info for each in taken]
        return np.stack([each.observation for each in taken])

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take note of the actions."""
        self._orders = [
            Order(lane, self._seeds_now[lane], self._past[lane], np.array(action), self._seed_of(lane))
            for lane, action in enumerate(actions)
        ]

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Take a step in every lane; lanes that end begin a new episode."""
        taken = self._follow(self._orders)
        for order, each in zip(self._orders, taken, strict=True):
            assert order.action is not None
            self._past[order.lane] = () if each.done else (*order.past, order.action)
            if each.done:
                self._seeds_now[order.lane] = self._next_seed(order.lane)
        return (
            np.stack([each.observation for each in taken]),
            np.array([each.reward for each in taken], np.float32),
            np.array([each.done for each in taken]),
            [each.info for each in taken],
        )

    def close(self) -> None:
        """End every worker."""
        self._hosts.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the whole, once per lane asked for."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Lanes are made again when their worker is lost: what was set would be gone."""
        raise NotImplementedError("lanes on workers keep no attributes")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """The same goes for what a method would change."""
        raise NotImplementedError("the methods of lanes on workers cannot be called")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that no lane is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def _seed_of(self, lane: int) -> int:
        """Return the seed of the next episode of a lane."""
        return int(np.random.SeedSequence([self._seed, lane, self._episodes[lane]]).generate_state(1)[0])

    def _next_seed(self, lane: int) -> int:
        seed = self._seed_of(lane)
        self._episodes[lane] += 1
        return seed

    def _follow(self, orders: Sequence[Order]) -> list[Taken]:
        """Have the orders of all lanes followed, and return what came of them, in the order of the lanes."""
        mine = [[orders[lane] for lane in lanes] for lanes in self._lanes_of]

        def seconds(number: int, new: bool) -> float:
            again = sum(len(order.past) + (order.action is not None) for order in mine[number]) if new else 0
            return self._timeout_seconds * (len(mine[number]) + again)

        found = self._keepers.ask("follow", [(part,) for part in mine], seconds)
        return [taken for part in found for taken in part]
