"""How help sorts the flags and the commands: by what a person wants to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from pydantic import create_model

from sec_rl.config import RunConfig

LEARNED = Group("A model", sort_key=1)
POLICY = Group("A controller", sort_key=2)
LOOK = Group("Look", sort_key=3)
SHARE = Group("Share", sort_key=4)

TASK = Group("Task", sort_key=1)
CONTROL = Group("What drives the run", sort_key=2)
WISHES = Group("What is wanted", sort_key=3)
BUDGET = Group("Training", sort_key=4)
LEVERS = Group("Levers", sort_key=5)
PRUNING = Group("Pruning", sort_key=6)
CLOCK = Group("Reference and clock", sort_key=7)
FOLDER = Group("Folder and terminal", sort_key=8)

_FIELDS = {
    TASK: ("task", "text", "text_pair", "label", "encoder"),
    CONTROL: ("schedule", "policy", "data_ratio", "compression_ratio"),
    WISHES: ("preference",),
    BUDGET: (
        *("passes", "n_segments", "batch_size", "learning_rate", "max_length", "validation_rows", "transfer"),
        *("precision", "threads", "seed"),
    ),
    LEVERS: ("selection", "pseudo_label_threshold", "levers"),
    PRUNING: ("pruning",),
    CLOCK: ("dense_reference", "perplexity", "latency_sequence_length", "latency_rounds"),
}


def _grouped() -> type[RunConfig]:
    """Return the configuration of a run, each field with its group."""
    group_of = {name: group for group, names in _FIELDS.items() for name in names}
    fields: dict[str, Any] = {
        name: (Annotated[field.annotation, Parameter(group=group_of[name]), *field.metadata], field)
        for name, field in RunConfig.model_fields.items()
    }
    return create_model("RunFlags", __base__=RunConfig, __doc__=RunConfig.__doc__, **fields)


# Settings, defaults and limits are those of `RunConfig`; only help knows of groups.
if TYPE_CHECKING:
    RunFlags = RunConfig
else:
    RunFlags = _grouped()
