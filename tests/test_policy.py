"""The portable policy: the same answers everywhere, and nothing that a stranger's folder can do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from sec_rl.agents.network import HIDDEN, Network
from sec_rl.agents.policy import CARD, TENSORS, Policy, load_policy, save_policy
from sec_rl.envs.observation import LOW_HIGH, OBSERVATION_NAMES
from sec_rl.errors import InputError

SIZES = (len(OBSERVATION_NAMES), *HIDDEN, 2)
Change = Callable[[dict[str, Any]], object]


def random_network(seed: int, squash: Any = "clip") -> Network:
    """Return a network of the real layout."""
    generator = np.random.default_rng(seed)
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    weights = tuple((generator.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32) for shape in shapes)
    biases = tuple(generator.standard_normal(after).astype(np.float32) for after in SIZES[1:])
    mean, scale = generator.standard_normal(SIZES[0]), generator.uniform(0.1, 1.0, SIZES[0])
    return Network(mean.astype(np.float32), scale.astype(np.float32), weights, biases, squash)


def observations(rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return observations within their ranges."""
    low, high = np.array(list(LOW_HIGH.values())).T
    return np.random.default_rng(0).uniform(low, high, (rows, SIZES[0])).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good policy."""
    save_policy(Policy(random_network(0), provenance={"seed": 0}, scores={"mean_return": 0.5}), tmp_path / "policy")
    return tmp_path / "policy"


def rewrite(folder: Path, change: Change) -> None:
    """Change a policy's card by hand."""
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


@pytest.mark.parametrize("squash", ["clip", "tanh"])
def test_a_policy_comes_back_as_it_was(tmp_path: Path, squash: str) -> None:
    policy = Policy(random_network(1, squash), provenance={"a": [1, None]}, scores={"b": 0.25})
    save_policy(policy, tmp_path)
    back = load_policy(tmp_path)
    np.testing.assert_array_equal(back.act(observations(64)), policy.act(observations(64)))
    assert (back.provenance, back.scores, back.action_mode) == (policy.provenance, policy.scores, "ratios")
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD, TENSORS]


def test_one_run_and_many_lanes_get_the_same_answer(folder: Path) -> None:
    policy = load_policy(folder)
    policy.reset(0)
    many = policy.act(observations(8))
    assert many.dtype == np.float32
    assert np.abs(many).max() <= 1.0
    for row, action in zip(observations(8), many, strict=True):
        np.testing.assert_allclose(policy(row), action, atol=1e-6)
    with pytest.raises(InputError, match="24 entries"):
        policy(np.zeros(23, np.float32))


def _swap(card: dict[str, Any]) -> None:
    names = card["observation_names"]
    names[2], names[3] = names[3], names[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
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
    ],
)
def test_another_card_is_refused_with_the_difference(folder: Path, change: Change, message: str) -> None:
    rewrite(folder, change)
    with pytest.raises(InputError, match=message) as refused:
        load_policy(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["layer0.weight", "layer2.bias"])
@pytest.mark.parametrize("bad", ["nan", "shape", "type", "missing"])
def test_other_tensors_are_refused(folder: Path, name: str, bad: str) -> None:
    tensors = safetensors.numpy.load_file(folder / TENSORS)
    value = tensors.pop(name)
    if bad == "nan":
        value.flat[0] = np.nan
    if bad != "missing":
        tensors[name] = value.T[:1].copy() if bad == "shape" else value.astype(np.float16 if bad == "type" else None)
    safetensors.numpy.save_file(tensors, folder / TENSORS)
    with pytest.raises(InputError):
        load_policy(folder)


@pytest.mark.parametrize("name", [CARD, TENSORS])
def test_every_flipped_bit_and_every_cut_is_noticed(folder: Path, tmp_path: Path, name: str) -> None:
    generator = np.random.default_rng(0)
    whole = (folder / name).read_bytes()
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    # The first bytes hold the header, where a flip does the most.
    places = [*range(200), *generator.integers(0, len(whole), 300)]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(generator.integers(8))
        (damaged / name).write_bytes(flipped)
        _refused_or_same(damaged, folder)
    for end in generator.integers(0, len(whole) - 2, 100):
        (damaged / name).write_bytes(whole[:end])
        with pytest.raises(InputError):
            load_policy(damaged)


def _refused_or_same(damaged: Path, good: Path) -> None:
    """A flip may turn a space of the card into another space; everything else must be refused."""
    try:
        policy = load_policy(damaged)
    except InputError:
        return
    assert json.loads((damaged / CARD).read_text()) == json.loads((good / CARD).read_text())
    assert (damaged / TENSORS).read_bytes() == (good / TENSORS).read_bytes()
    assert policy.scores == load_policy(good).scores


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x04\x95",  # a pickle's first bytes
        b"PK\x03\x04",
        b"[" * 100_000,
        b'{"schema_version": 1e400}',
        b'{"schema_version": true}',
        b"null",
        b"\xff\xfe",
        b'{"schema_version": 1, "observation_names": ' + b"[" * 50_000,
    ],
)
def test_cards_that_are_none_are_refused(folder: Path, payload: bytes) -> None:
    (folder / CARD).write_bytes(payload)
    with pytest.raises(InputError, match=r"is no policy|cannot be read"):
        load_policy(folder)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x04\x95cos\nsystem\n",
        (2**62).to_bytes(8, "little") + b"{}",
        (90).to_bytes(8, "little")
        + b'{"layer0.weight":{"dtype":"F32","shape":[99999999999,99999999],"data_offsets":[0,4]}}',
        b"x" * 10_000_000,
    ],
)
def test_tensors_that_are_none_are_refused(folder: Path, payload: bytes) -> None:
    (folder / TENSORS).write_bytes(payload)
    with pytest.raises(InputError):
        load_policy(folder)


def test_missing_files_and_devices_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        load_policy(tmp_path / "nowhere")
    (folder / TENSORS).unlink()
    with pytest.raises(InputError, match="missing"):
        load_policy(folder)
    (folder / TENSORS).symlink_to("/dev/zero")
    with pytest.raises(InputError, match="link that leads out"):
        load_policy(folder)


def test_a_save_that_is_cut_short_never_looks_whole(folder: Path, tmp_path: Path) -> None:
    """The tensors are replaced first: what remains if the card is not."""
    save_policy(Policy(random_network(7)), tmp_path / "other")
    shutil.copy(tmp_path / "other" / TENSORS, folder / TENSORS)
    with pytest.raises(InputError, match="checksum"):
        load_policy(folder)
