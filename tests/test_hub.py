"""Policies and models to and from the hub, on a cache in the hub's layout and a stand-in for its interface."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard, constants

from sec_rl.agents.configured import configured_controller
from sec_rl.agents.policy import CARD, TENSORS, load_policy
from sec_rl.agents.publish import publish
from sec_rl.agents.replay_config import replay_config
from sec_rl.agents.shipped import shipped_policy
from sec_rl.classifier import Classifier
from sec_rl.cli import main
from sec_rl.errors import InputError
from sec_rl.report.model_card import model_card
from tests.made_up_runs import made_up_result

REVISION = "0123456789abcdef0123456789abcdef01234567"


class CopyingApi:
    """Writes an upload into the cache, where a download would leave it."""

    cache: Path

    def __init__(self, **_: Any) -> None:
        pass

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        return f"made/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        place = self.cache / f"models--{repo_id.replace('/', '--')}"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text(REVISION)
        shutil.copytree(folder_path, place / "snapshots" / REVISION, dirs_exist_ok=True)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache; pushes go straight into it."""
    CopyingApi.cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(CopyingApi.cache))
    monkeypatch.setattr(huggingface_hub, "HfApi", CopyingApi)
    return CopyingApi.cache


def pushed(cache: Path, name: str) -> Path:
    """Return the folder of what was pushed."""
    return cache / f"models--{name.replace('/', '--')}" / "snapshots" / REVISION


def test_a_policy_goes_to_the_hub_and_drives_from_there(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(shipped_policy(), folder)
    (folder / "state.pkl").write_bytes(b"nobody else's")
    assert publish(folder, "me/policy", licence="apache-2.0") == "made/me/policy"
    assert {path.name for path in pushed(cache, "me/policy").iterdir()} == {CARD, TENSORS, "README.md"}

    reference = f"hub:me/policy@{REVISION}"
    options = {"target_speedup": None, "target_size_ratio": None, "max_accuracy_drop": None, "task": "questions"}
    controller, _ = configured_controller(replay_config(policy=reference, **options))  # type: ignore[arg-type]
    observation = np.linspace(0.0, 1.0, 24, dtype=np.float32)
    np.testing.assert_array_equal(controller(observation), load_policy(shipped_policy())(observation))

    card = ModelCard.load(pushed(cache, "me/policy") / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "reinforcement-learning")
    assert "hub:me/policy" in card.text


def test_a_policy_from_a_stranger_is_checked(cache: Path) -> None:
    publish(shipped_policy(), "stranger/policy")
    path = pushed(cache, "stranger/policy") / TENSORS
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match=r"checksum|damaged"):
        load_policy("hub:stranger/policy")


@pytest.mark.parametrize("name", ["hub:nobody/nothing", "hub:a/b/c", "hub:", "hub:../policy"])
def test_what_is_not_there_is_one_line(cache: Path, name: str) -> None:
    for load in (load_policy, Classifier):
        with pytest.raises(InputError, match="cannot be fetched") as error:
            load(name)
        assert "\n" not in str(error.value)
        assert repr(name) in str(error.value)


def test_a_model_goes_with_its_card(cache: Path, tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    for name in ("model.onnx", "config.json", "tokenizer.json", "notes.txt"):
        (model / name).write_text(name)
    result = made_up_result(task="/somewhere/secret/reviews: mine", macro_f1=0.8)
    (model / "README.md").write_text(model_card(result, ["no", "yes"]), encoding="utf-8")
    publish(tmp_path / "run", "me/model", licence="mit", private=True)
    place = pushed(cache, "me/model")
    assert {path.name for path in place.iterdir()} == {"model.onnx", "config.json", "tokenizer.json", "README.md"}

    card = ModelCard.load(place / "README.md")
    assert card.data.license == "mit"
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert (card.data.pipeline_tag, card.data.library_name) == ("text-classification", "sec-rl")
    figures = {found.metric_type: found.metric_value for found in card.data.eval_results}
    assert figures == {"accuracy": 0.85, "f1": 0.8}
    assert card.data.eval_results[0].dataset_name == "reviews: mine"
    assert "secret" not in card.data.to_yaml()
    # Before it was pushed, nobody had said which licence holds.
    own = ModelCard.load(model / "README.md").data
    assert (own.license, own.license_name) == ("other", "encoder-and-data")


def test_a_card_names_what_the_run_started_from() -> None:
    result = made_up_result(warm_start="me/dense-reviews")
    card = ModelCard(model_card(result, ["no", "yes"]))
    assert getattr(card.data, "base_model", None) == "me/dense-reviews"
    assert "`me/dense-reviews`" in card.text


def test_push_refuses_what_is_neither(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sec-rl", "push", str(tmp_path), "me/nothing"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "neither a policy (policy.json) nor a model" in capsys.readouterr().err
    assert not cache.exists()


def test_without_a_network_push_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real interface, told to stay offline."""
    with pytest.raises(InputError, match="Nothing was pushed to 'me/policy'"):
        publish(shipped_policy(), "me/policy")
