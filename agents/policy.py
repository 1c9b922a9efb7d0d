"""The portable policy: a folder of two plain files that runs on numpy alone.

``policy.json``
    schema version, layout (names and ranges of observation and action), normaliser, layer sizes, provenance, scores,
    and the checksum of both files
``policy.safetensors``
    ``layer0.weight``, ``layer0.bias``, ... in float32

Nothing in the folder is ever executed, and sizes are checked before anything is allocated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sec_rl.agents.layout import Layout
from sec_rl.agents.network import Network, Squash
from sec_rl.agents.policy_card import SCHEMA_VERSION, parse_card
from sec_rl.agents.sealed import check_seal, parse_tensors, write_sealed
from sec_rl.envs.action import ActionMode
from sec_rl.errors import InputError
from sec_rl.files import read_bytes
from sec_rl.hub import fetched

CARD, TENSORS = "policy.json", "policy.safetensors"
_MOST_CARD_BYTES = 1_000_000
# Names, shapes and offsets of the tensors.
_MOST_HEADER_BYTES = 10_000


@dataclass(frozen=True)
class Policy:
    """A learned controller; both a `Controller` of one run and a controller of many lanes.

    Attributes:
        network: observation -> action.
        action_mode: `ratios` (2 entries) or `levers` (6).
        provenance: where it came from, JSON-ready.
        scores: how well it did, JSON-ready.
    """

    network: Network
    action_mode: ActionMode = "ratios"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)

    def reset(self, seed: int) -> None:
        """Do nothing: a policy remembers nothing and draws nothing."""

    def begin(self, n_lanes: int, seed: int) -> None:
        """Do nothing, likewise."""

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the action of one run, (2,) or (6,) in [-1, 1].

        Raises:
            InputError: the observation has another layout.
        """
        action: NDArray[np.float32] = self.act(np.asarray(observation, np.float32)[None])[0]
        return action

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions of many runs, (lanes, 2) or (lanes, 6), for (lanes, 24).

        Raises:
            InputError: the observations have another layout.
        """
        width = self.network.sizes[0]
        if observations.ndim != 2 or observations.shape[1] != width:
            raise InputError(f"The policy takes {width} entries per observation; it got {observations.shape[1:]}.")
        return self.network(observations)


def save_policy(policy: Policy, folder: Path) -> None:
    """Write a policy; an earlier one in the folder is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    network = policy.network
    card = {
        "schema_version": SCHEMA_VERSION,
        **Layout.here(policy.action_mode).model_dump(),
        "normaliser": {"mean": network.mean.tolist(), "scale": network.scale.tolist()},
        "layer_sizes": network.sizes,
        "activation": "tanh",
        "squash": network.squash,
        "provenance": dict(policy.provenance),
        "scores": dict(policy.scores),
    }
    write_sealed(folder / CARD, card, folder / TENSORS, layer_tensors(network))


def load_policy(source: Path | str) -> Policy:
    """Read a policy.

    Args:
        source: its folder, or `hub:OWNER/NAME[@REVISION]`; of a repository there only the two files are fetched.

    Raises:
        InputError: it is missing, damaged, of another schema version, or of another layout than the one here.
    """
    folder = fetched(source, (CARD, TENSORS))
    path = folder / CARD
    text = read_bytes(path, _MOST_CARD_BYTES)
    card = parse_card(text, path)
    shapes = card.shapes()
    expected = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    data = read_bytes(folder / TENSORS, expected + _MOST_HEADER_BYTES)
    tensors = parse_tensors(data, folder / TENSORS)
    found = {name: (value.shape, value.dtype) for name, value in tensors.items()}
    for name, shape in shapes.items():
        if found.pop(name, None) != (shape, np.dtype(np.float32)):
            raise InputError(f"{str(folder / TENSORS)!r} holds no float32 tensor {name!r} of shape {shape}.")
    if found:
        raise InputError(f"{str(folder / TENSORS)!r} holds an unknown tensor {min(found)!r}.")
    network = network_from(tensors, card.normaliser.mean, card.normaliser.scale, card.squash)
    check_seal(json.loads(text), data, path)
    return Policy(network, card.action_mode, card.provenance, card.scores)


def layer_tensors(network: Network) -> dict[str, NDArray[np.float32]]:
    """Return a network's layers by the names they have on disk."""
    layers = enumerate(zip(network.weights, network.biases, strict=True))
    return {
        f"layer{i}.{part}": value for i, pair in layers for part, value in zip(("weight", "bias"), pair, strict=True)
    }


def network_from(tensors: Mapping[str, NDArray[Any]], mean: Any, scale: Any, squash: Squash) -> Network:
    """Return the network whose `layer_tensors` these are.

    Raises:
        InputError: shapes do not fit each other, or a number is not finite.
    """
    n_layers = sum(name.endswith(".weight") for name in tensors)
    return Network(
        np.asarray(mean, np.float32),
        np.asarray(scale, np.float32),
        tuple(tensors[f"layer{i}.weight"] for i in range(n_layers)),
        tuple(tensors[f"layer{i}.bias"] for i in range(n_layers)),
        squash,
    )
