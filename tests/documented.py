"""What README and docs show: their pages, their code blocks, and the commands in these."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "sec_rl/shipped/traces/README.md"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block: its language, empty where none is named, and its text."""

    language: str
    text: str

    def commands(self) -> list[list[str]]:
        """Return the words of every shell command in it."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the code blocks of a page, in order; of all languages where none is named."""
    found = [Block(*parts) for parts in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [block for block in found if not languages or block.language in languages]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every shell command on a page."""
    return [words for block in blocks(page, "bash") for words in block.commands()]
