"""A policy or an exported model to the hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from sec_rl.agents.policy import CARD, TENSORS, load_policy
from sec_rl.agents.policy_page import policy_page
from sec_rl.classifier import MODEL_FILES, REQUIRED_FILES
from sec_rl.errors import InputError
from sec_rl.hub import push


def publish(folder: Path, repository: str, *, licence: str | None = None, private: bool = False) -> str:
    """Upload what a folder holds: a policy, or the model of a run.

    Args:
        folder: of a policy, of a run, or a run's `model`.
        repository: `OWNER/NAME` on the hub; who is logged in there decides whether one may.
        licence: the hub's identifier, such as `apache-2.0`; None: what the card says, or `other`.
        private: whether a new repository is private.

    Returns:
        the repository's address.

    Raises:
        InputError: the folder holds neither, or the hub refused.
    """
    if (folder / CARD).is_file():
        policy = load_policy(folder)
        files = {name: folder / name for name in (CARD, TENSORS)}
        page = policy_page(policy, repository, licence or "other")
        return push(files, page, repository, private=private, message="A sec-rl policy")
    model = folder / "model" if (folder / "model").is_dir() else folder
    missing = [name for name in REQUIRED_FILES if not (model / name).is_file()]
    if missing:
        raise InputError(f"{str(folder)!r} holds neither a policy ({CARD}) nor a model ({', '.join(missing)}).")
    files = {name: model / name for name in MODEL_FILES if (model / name).is_file()}
    card = model_page(model, licence)
    return push(files, card, repository, private=private, message="A model made by sec-rl")


def model_page(model: Path, licence: str | None) -> str:
    """Return a model's card with its licence; a model without a card gets the metadata alone."""
    path = model / "README.md"
    if path.is_file():
        card = ModelCard(path.read_text(encoding="utf-8"))
    else:
        data = ModelCardData(license="other", library_name="sec-rl", pipeline_tag="text-classification")
        card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n# A text classifier made by sec-rl\n")
    if licence is not None:
        for name, value in (("license", licence), ("license_name", None)):
            setattr(card.data, name, value)
    return str(card)
