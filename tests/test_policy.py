"""The portable policy: the same answers everywhere, and nothing that a stranger's folder can do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from benchmarks.faults.layouts import CARD_CHANGES, SIZES, Change, random_network, rewrite
from sec_rl.agents.policy import CARD, TENSORS, Policy, load_policy, save_policy
from sec_rl.envs.observation import LOW_HIGH
from sec_rl.errors import InputError


def observations(rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return observations within their ranges."""
    low, high = np.array(list(LOW_HIGH.values())).T
    return np.random.default_rng(0).uniform(low, high, (rows, SIZES[0])).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good policy."""
    save_policy(Policy(random_network(0), provenance={"seed": 0}, scores={"mean_return": 0.5}), tmp_path / "policy")
    return tmp_path / "policy"


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


@pytest.mark.parametrize(("change", "message"), CARD_CHANGES)
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
