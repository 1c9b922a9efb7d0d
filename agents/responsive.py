"""Labels by what a run shows: the schedule of a preference, with the share of the labels that suits the task.

A schedule per preference buys as many labels of an easy task as of a hard one. A policy that is cloned from it hardly
learns to tell them apart: labels once bought stay bought, so whatever explores buys nearly all of them, and what it
does afterwards cannot show what fewer would have been worth. So the alternatives are played out: from the same states
of the same episodes every share is followed to the end, a network learns from the observation what each is worth
beside the others, and the schedule takes the best. This is one step of policy improvement by rollouts (Tesauro &
Galperin 1996, "On-line policy improvement using Monte-Carlo search"; Bertsekas 2013, "Rollout algorithms for discrete
optimization") that has whole schedules for actions.

Before the first segment nothing was seen, and most preferences would buy everything at once. What it is worth to buy
little till then is played out, too, and fitted to the preference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.baselines import follow
from sec_rl.agents.evaluate import play_episodes
from sec_rl.agents.lanes import OneByOne, OpenLanes
from sec_rl.agents.learners.cloning import fit_network
from sec_rl.agents.learners.reward_scale import fit_reward_scale
from sec_rl.agents.network import Network
from sec_rl.agents.preferred import PreferredSchedule, mean_terms, worth
from sec_rl.envs.action import ACTION_SCALE, Limits
from sec_rl.envs.drive import INITIAL
from sec_rl.envs.observation import N_TARGET_KINDS, OBSERVATION_NAMES

# Shares of the labels to choose from; those of less than all are bought bit by bit, as schedules do.
SHARES = (0.15, 0.3, 0.45, 0.6, 0.8, 1.0)
# What may be bought before the first segment by those who wait for it: as little as a run may have, or a fifth.
OPENINGS = (Limits().data_min, INITIAL.data)
# What another share than the schedule's must promise beyond it, in scaled return: where shares hardly differ the
# network errs by about as much, and a family that nobody recorded may need the labels.
_MARGIN = 0.003
# Episodes in which shares are played out, over those that schedules are compared in.
_ROLLOUTS = 4
# Segments after which one of these branches off.
_AFTER = (0, 1, 2, 3, 4, 6, 8, 10)
# Of the episodes in which these begin, the share that waits with buying, and the segments that it waits for at most.
_WAITING, _LONGEST_WAIT = 0.7, 4
# Optimizer steps of the network for each episode.
_STEPS = 1.5
_PROGRESS = OBSERVATION_NAMES.index("progress")


@dataclass
class ResponsiveSchedule(OneByOne):
    """Compress as a preference's schedule does, and buy labels as the run suggests; it gives none back.

    Attributes:
        preferred: the schedule of each preference.
        values: observation -> what each of `SHARES` is worth beyond all labels, in scaled return, within [-1, 1].
        waiting: (combinations of targets, openings, 5) what it is worth to buy no more than each of `OPENINGS` till
            the first segment has shown something, in terms as those of the schedules.
    """

    preferred: PreferredSchedule
    values: Network
    waiting: NDArray[np.float64]

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions, (lanes, 2)."""
        settings = self.preferred.chosen(observations)
        usual = np.abs(np.array(SHARES) - settings[:, :1]).argmin(axis=1)
        ahead = self.values(observations) - _MARGIN * (np.arange(len(SHARES)) != usual[:, None])
        shares = np.array(SHARES)[ahead.argmax(axis=1)]
        openings = worth(self.waiting, observations)
        waits = openings.max(axis=1) > 0.0
        opening = np.where(waits, np.array(OPENINGS)[openings.argmax(axis=1)], np.nan)
        return _buying(observations, settings, shares, opening)


def tune_responsive(
    open_lanes: OpenLanes, preferred: PreferredSchedule, *, episodes: int = 4096, seed: int = 0
) -> ResponsiveSchedule:
    """Return the schedule whose labels follow what a run shows.

    Args:
        open_lanes: opens the environment.
        preferred: the schedule of each preference.
        episodes: of each comparison; four times as many of the shares.
        seed: of them, and of the network.
    """
    to_go = []
    for share in SHARES:
        # One at a time: every step of all of them would fill a quarter of a gigabyte.
        way = _Branch(preferred, share)
        played = play_episodes(open_lanes, way, episodes=_ROLLOUTS * episodes, seed=seed)
        # All shares come to the branch by the same way, or end before it.
        lanes = np.flatnonzero(way.after < played.alive.sum(axis=0))
        to_go.append(played.returns_to_go()[way.after[lanes], lanes])
    observations, returns = played.observations[way.after[lanes], lanes], np.stack(to_go, axis=1)
    scale = fit_reward_scale(played.observations[0], played.returns)
    ahead = (returns - returns[:, -1:]) * scale(observations)[:, None]
    targets = np.clip(ahead, -1.0, 1.0).astype(np.float32)
    values = fit_network(observations, targets, squash="clip", seed=seed, steps=int(_STEPS * episodes))
    ways = [_always(opening) for opening in (None, *OPENINGS)]
    buys, *waits = (
        play_episodes(open_lanes, ResponsiveSchedule(preferred, values, way), episodes=episodes, seed=seed + 1)
        for way in ways
    )
    gained = np.stack([each.returns - buys.returns for each in waits])
    return ResponsiveSchedule(preferred, values, mean_terms(buys.observations[0], gained))


def _always(opening: float | None) -> NDArray[np.float64]:
    """Return `ResponsiveSchedule.waiting` that waits with one opening by any preference; None: it never waits."""
    terms = np.full((N_TARGET_KINDS, len(OPENINGS), 5), -1.0)
    if opening is not None:
        terms[:, OPENINGS.index(opening)] = 1.0
    return terms


def _buying(
    observations: NDArray[np.float32],
    settings: NDArray[np.float64],
    shares: NDArray[np.float64],
    opening: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the actions of schedules whose share of the labels is another, (lanes, 2).

    Args:
        observations: (lanes, 24).
        settings: (lanes, 5) of the schedules.
        shares: (lanes,) of the labels to buy; none that were bought are given back.
        opening: (lanes,) share of the labels that the first segment has; NaN: as much as `shares` say.
    """
    actions = follow(observations, np.concatenate([shares[:, None], settings[:, 1:]], axis=1))
    begins = observations[:, _PROGRESS] == 0.0
    # An opened run has bought nothing: its first action may take labels off the fifth that it starts from.
    actions[:, 0] = np.maximum(actions[:, 0], np.where(begins, -1.0, 0.0))
    waits = begins & ~np.isnan(opening)
    actions[waits, 0] = (opening[waits] - INITIAL.data) / ACTION_SCALE[0]
    return actions


class _Branch:
    """Play some segments in one of many ways, the same for every share, and follow one share from then on.

    Args:
        preferred: compresses.
        share: of the labels, after the branch.
    """

    def __init__(self, preferred: PreferredSchedule, share: float) -> None:
        self._preferred, self._share = preferred, share

    def begin(self, n_lanes: int, seed: int) -> None:
        """Draw how every lane gets to its branch."""
        generator = np.random.default_rng(seed)
        waiting = generator.random(n_lanes) < _WAITING
        self._wait = np.where(waiting, generator.integers(1, _LONGEST_WAIT + 1, n_lanes), 0)
        self._first = np.where(waiting, generator.choice(SHARES, n_lanes), 1.0)
        opening = generator.choice(OPENINGS, n_lanes)
        self.after = generator.choice(_AFTER, n_lanes)
        # A lane that branches off at once has no way to it: the share is all that it follows.
        self._opening = np.where(waiting & (self.after > 0), opening, np.nan)
        self._segment = 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions, (lanes, 2)."""
        early = np.where(self._segment < self._wait, 0.0, self._first)
        shares = np.where(self._segment < self.after, early, self._share)
        self._segment += 1
        return _buying(observations, self._preferred.chosen(observations), shares, self._opening)
