"""Policies that were made for something else, and configurations with a letter missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.row import Row
from benchmarks.faults.samples import spoken
from sec_rl.agents.network import HIDDEN, Network
from sec_rl.agents.policy import CARD, Policy, load_policy, save_policy
from sec_rl.config import RunConfig
from sec_rl.envs.observation import OBSERVATION_NAMES
from sec_rl.errors import InputError

Change = Callable[[dict[str, Any]], object]
SIZES = (len(OBSERVATION_NAMES), *HIDDEN, 2)
# Of misspelt keys, at least this share must be recognised.
RECOGNISED = 0.9


def _swap(card: dict[str, Any]) -> None:
    names = card["observation_names"]
    names[2], names[3] = names[3], names[2]


# What is changed in a policy's card, and what must be said about it.
CARD_CHANGES: list[tuple[Change, str]] = [
    (_swap, r"observation entry 2 is 'compression_ratio' there and 'data_ratio' here \(the order differs\)"),
    (
        lambda c: c["observation_names"].__setitem__(4, "f1"),
        "entry 4 is 'f1' there and 'accuracy_over_chance' here",
    ),
    (lambda c: c["observation_names"].pop(), "lacks the observation entry 'max_accuracy_drop'"),
    (lambda c: c["observation_names"].append("mood"), "has the observation entry 'mood', which is unknown"),
    (lambda c: c["observation_names"].append("loss"), "25 observation entries, some of them twice"),
    (
        lambda c: c["observation_ranges"].__setitem__(0, [0, 100]),
        r"'progress' has the range \[0.0, 100.0\] there",
    ),
    (lambda c: c["action_names"].reverse(), "action entry 0 is 'compression_change'"),
    (lambda c: c.update(action_scale=[1.0, 1.0]), "action's scale"),
    (lambda c: c.update(schema_version=2), "schema version 2; this sec-rl reads 1"),
    (lambda c: c.update(layer_sizes=[24, 10**9, 2]), "layer_sizes.1: Input should be less than or equal to 1024"),
    (lambda c: c.update(layer_sizes=[24] + [8] * 100 + [2]), "layer_sizes: List should have at most"),
    (lambda c: c.update(layer_sizes=[24, 65, 64, 2]), "holds no float32 tensor 'layer0.weight' of shape"),
    (lambda c: c.update(layer_sizes=[24, 64, 64, 3]), "from 24 to 3 values"),
    (lambda c: c.update(layer_sizes=[24, 64, 2]), "larger than"),
    (lambda c: c.update(activation="relu"), "activation"),
    (lambda c: c.update(command="rm"), "command"),
    (lambda c: c.pop("normaliser"), "normaliser"),
    (lambda c: c["normaliser"]["scale"].__setitem__(0, 0.0), "normaliser.scale.0"),
    (lambda c: c["normaliser"]["mean"].__setitem__(0, float("nan")), "is no policy: normaliser.mean.0"),
    (lambda c: c["normaliser"]["mean"].pop(), "shapes"),
    (lambda c: c["normaliser"]["mean"].__setitem__(0, 0.125), "checksum"),
    (lambda c: c["scores"].update(mean_return=0.9), "checksum"),
]


def random_network(seed: int, squash: Any = "clip") -> Network:
    """Return a network of the real layout."""
    generator = np.random.default_rng(seed)
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    weights = tuple((generator.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32) for shape in shapes)
    biases = tuple(generator.standard_normal(after).astype(np.float32) for after in SIZES[1:])
    mean, scale = generator.standard_normal(SIZES[0]), generator.uniform(0.1, 1.0, SIZES[0])
    return Network(mean.astype(np.float32), scale.astype(np.float32), weights, biases, squash)


def rewrite(folder: Path, change: Change) -> None:
    """Change a policy's card by hand."""
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


def change_layouts(folder: Path) -> Row:
    """Change a policy's card in every way; each must be refused with the difference."""
    problems = []
    for number, (change, message) in enumerate(CARD_CHANGES):
        place = folder / f"layout-{number}"
        save_policy(Policy(random_network(0), scores={"mean_return": 0.5}), place)
        rewrite(place, change)
        try:
            load_policy(place)
            problems.append(f"change {number}: taken.")
        except InputError as error:
            if not re.search(message, str(error)) or "\n" in str(error):
                problems.append(f"change {number}: {error}")
    return Row("policies of another layout", len(CARD_CHANGES), 0, len(problems), problems=problems)


def misspell_keys(folder: Path) -> Row:
    """Leave a letter out of every key of a configuration, a key at a time, and read it.

    Returns:
        corrupted are files that were taken or were refused in more than one line; lost, keys that were not recognised
        beyond the tenth that may be.
    """
    keys = [key for key in _keys(RunConfig(task="a").model_dump()) if key != "task"]
    path, recognised, problems = folder / "misspelt.toml", 0, []
    for place, key in enumerate(keys):
        group, _, name = key.rpartition(".")
        # Another letter in every key.
        at = 1 + place % (len(name) - 1)
        wrong = name[:at] + name[at + 1 :]
        path.write_text(f'task = "a"\n{f"[{group}]" if group else ""}\n{wrong} = 1\n', encoding="utf-8")
        code, said = spoken(["run", "--config", str(path), "--print-config"])
        if code != 2 or said.count("\n") != 1:
            problems.append(f"{group} {wrong}: exit {code}, {said[-200:]}")
        recognised += "--" + key.replace("_", "-") in said
    lost = max(0, round(RECOGNISED * len(keys)) - recognised)
    return Row(
        "misspelt keys in a configuration", len(keys), lost, len(problems), {"recognised": recognised}, problems
    )


def _keys(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the keys of a configuration, those of its groups with a dot."""
    found = []
    for key, value in values.items():
        found += _keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return found
