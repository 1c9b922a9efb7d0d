"""The content of `policy.json`, and what is wrong with one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sec_rl.agents.action_grid import GRID_SIZE
from sec_rl.agents.layout import Layout
from sec_rl.agents.network import Squash
from sec_rl.errors import InputError

SCHEMA_VERSION = 1
_MOST_WIDTH, _MOST_LAYERS = 1024, 8


class _Version(BaseModel):
    """The only entry that every schema shares."""

    schema_version: int


class Normaliser(BaseModel):
    """See `Network`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mean: list[float] = Field(max_length=_MOST_WIDTH)
    scale: list[Annotated[float, Field(gt=0.0)]] = Field(max_length=_MOST_WIDTH)


class PolicyCard(Layout):
    """The content of `policy.json`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    schema_version: int
    normaliser: Normaliser
    layer_sizes: list[Annotated[int, Field(ge=1, le=_MOST_WIDTH)]] = Field(min_length=2, max_length=_MOST_LAYERS)
    activation: Literal["tanh"]
    squash: Squash
    provenance: dict[str, JsonValue]
    scores: dict[str, JsonValue]
    checksum: str = Field(max_length=64)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors that belong to it, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (before, after) in enumerate(itertools.pairwise(self.layer_sizes)):
            shapes |= {f"layer{i}.weight": (after, before), f"layer{i}.bias": (after,)}
        return shapes


def parse_card(text: bytes, path: Path) -> PolicyCard:
    """Read the content of a `policy.json`; the layout is compared before anything else is looked at.

    Raises:
        InputError: it is no policy's, of another schema version, or of another layout than the one here.
    """
    try:
        version = _Version.model_validate_json(text).schema_version
        if version != SCHEMA_VERSION:
            raise InputError(f"{str(path)!r} has schema version {version}; this sec-rl reads {SCHEMA_VERSION}.")
        layout = Layout.model_validate_json(text)
        difference = layout.difference()
        if difference is not None:
            raise InputError(f"{str(path)!r} was learned on another layout: {difference}.")
        card = PolicyCard.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise InputError(f"{str(path)!r} is no policy: {place + ': ' if place else ''}{fault['msg']}.") from error
    ends = (card.layer_sizes[0], card.layer_sizes[-1])
    n_out = GRID_SIZE if card.squash == "grid" else len(card.action_names)
    if ends != (len(card.observation_names), n_out):
        raise InputError(
            f"{str(path)!r} goes from {ends[0]} to {ends[1]} values; its layout asks for "
            f"{len(card.observation_names)} and {n_out}."
        )
    return card
