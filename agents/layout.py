"""The layout a policy was learned on, and how it differs from the one here."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from sec_rl.envs.action import ACTION_SCALE, ActionMode, action_names
from sec_rl.envs.observation import LOW_HIGH, OBSERVATION_NAMES

_MOST_ENTRIES = 256


class Layout(BaseModel):
    """What goes in and out of a policy, entry by entry.

    Attributes:
        observation_names: entries of the observation, in order.
        observation_ranges: lowest and highest value of each.
        action_mode: `ratios` or `levers`.
        action_names: entries of the action, in order.
        action_scale: largest change of data ratio and compression ratio in one segment.
    """

    model_config = ConfigDict(allow_inf_nan=False, frozen=True)

    observation_names: list[str] = Field(max_length=_MOST_ENTRIES)
    observation_ranges: list[tuple[float, float]] = Field(max_length=_MOST_ENTRIES)
    action_mode: ActionMode
    action_names: list[str] = Field(max_length=_MOST_ENTRIES)
    action_scale: tuple[float, float]

    @classmethod
    def here(cls, mode: ActionMode) -> Layout:
        """Return the layout of this version of sec-rl."""
        return cls(
            observation_names=list(OBSERVATION_NAMES),
            observation_ranges=list(LOW_HIGH.values()),
            action_mode=mode,
            action_names=list(action_names(mode)),
            action_scale=ACTION_SCALE,
        )

    def difference(self) -> str | None:
        """Return the first difference from the layout here in words; None where there is none."""
        here = Layout.here(self.action_mode)
        named = _names_differ("observation", self.observation_names, here.observation_names)
        named = named or _names_differ("action", self.action_names, here.action_names)
        if named is not None:
            return named
        if len(self.observation_ranges) != len(here.observation_ranges):
            return (
                f"it has {len(self.observation_ranges)} observation ranges, here are {len(here.observation_ranges)}"
            )
        for name, theirs, ours in zip(
            here.observation_names, self.observation_ranges, here.observation_ranges, strict=True
        ):
            if theirs != ours:
                return f"observation entry {name!r} has the range {list(theirs)} there and {list(ours)} here"
        if self.action_scale != here.action_scale:
            return f"the action's scale is {list(self.action_scale)} there and {list(here.action_scale)} here"
        return None


def _names_differ(kind: str, theirs: Sequence[str], ours: Sequence[str]) -> str | None:
    """Return the first difference between two lists of names in words; None where they are equal."""
    if list(theirs) == list(ours):
        return None
    lacking = [name for name in ours if name not in theirs]
    foreign = [name for name in theirs if name not in ours]
    if len(theirs) == len(ours) and lacking and len(lacking) == len(foreign):
        return f"{kind} entry {ours.index(lacking[0])} is {foreign[0]!r} there and {lacking[0]!r} here"
    if lacking:
        return f"it lacks the {kind} entry {lacking[0]!r}"
    if foreign:
        return f"it has the {kind} entry {foreign[0]!r}, which is unknown here"
    if len(theirs) != len(ours):
        return f"it has {len(theirs)} {kind} entries, some of them twice, here are {len(ours)}"
    place = next(i for i, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1])
    return f"{kind} entry {place} is {theirs[place]!r} there and {ours[place]!r} here (the order differs)"
