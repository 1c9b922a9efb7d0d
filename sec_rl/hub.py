"""Folders to and from the Hugging Face hub: named files only, nothing that is executed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from sec_rl.errors import InputError

PREFIX = "hub:"
_MAX_REASON_CHARACTERS = 300


def fetched(reference: str | Path, files: Iterable[str]) -> Path:
    """Return the folder that a reference names; one on the hub is downloaded to the hub's cache first.

    Args:
        reference: `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`; anything else is a path, and returned as it is.
        files: names of the files to fetch; whatever else is in the repository stays there.

    Raises:
        InputError: there is no such repository, or it cannot be reached and is not in the cache.
    """
    name = str(reference)
    if not name.startswith(PREFIX):
        return Path(reference)
    # Takes 0.3 s to import, and most commands need nothing from the hub.
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=sorted(files), library_name="sec-rl"
        )
    # A missing entry in the cache and a refused connection are both an OSError.
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(f"{name!r} cannot be fetched: {_reason(error)}.") from error
    return Path(folder)


def push(files: Mapping[str, Path], card: str, repository: str, *, private: bool, message: str) -> str:
    """Upload files and a card to a model repository, which is created where there is none.

    Args:
        files: name in the repository -> file here.
        card: content of the repository's `README.md`.
        repository: `OWNER/NAME`.
        private: whether a new repository is private.
        message: of the commit.

    Returns:
        the repository's address.

    Raises:
        InputError: the hub refused, cannot be reached, or nobody is logged in.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    with tempfile.TemporaryDirectory(prefix="sec-rl-push-") as place:
        for name, source in files.items():
            shutil.copyfile(source, Path(place) / name)
        (Path(place) / "README.md").write_text(card, encoding="utf-8")
        api = huggingface_hub.HfApi(library_name="sec-rl")
        try:
            address = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=place, commit_message=message)
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise InputError(f"Nothing was pushed to {repository!r}: {_reason(error)}.") from error
    return str(address)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_MAX_REASON_CHARACTERS].rstrip(".") or type(error).__name__
