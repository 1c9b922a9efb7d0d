"""What README and docs tell people to type is something the program takes; `test_docs_run.py` runs it."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import read_counts
from benchmarks.options import parse_options
from sec_rl.cli import app
from sec_rl.cli.config_file import for_task, read_config
from sec_rl.config import RunConfig
from tests.documented import PAGES, blocks, commands

LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
OURS = [pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page, words in COMMANDS if words[0] == "sec-rl"]
BENCHMARKS = [(page, words) for page, words in COMMANDS if any(word.startswith("benchmarks.") for word in words)]


@pytest.mark.parametrize("words", OURS)
def test_every_command_is_one(words: list[str]) -> None:
    words = words[: words.index(">")] if ">" in words else words
    if "--config" in words:
        # The file is not there; it may name the task.
        at = words.index("--config")
        task = [] if "--task" in words else ["--task", "questions"]
        words = [*words[:at], *task, *words[at + 2 :]]
    app.parse_args(words[1:], exit_on_error=False, print_error=False)


def test_every_benchmark_is_there_and_takes_its_options(tmp_path: Path) -> None:
    for _, words in BENCHMARKS:
        at = next(i for i, word in enumerate(words) if word.startswith("benchmarks."))
        assert importlib.util.find_spec(words[at]) is not None
        if words[at] == "benchmarks.faults":
            read_counts(words[at + 1 :])
            continue
        own = getattr(importlib.import_module(words[at]), "parser", None)
        if own is not None:
            own().parse_args(words[at + 1 :])
            continue
        flags = [str(tmp_path) if word == "$SEC_RL_TASKS" else word for word in words[at + 1 :]]
        for task in ("sst2", "trec6", "mrpc"):
            (tmp_path / task).mkdir(exist_ok=True)
        parse_options(
            words[at].removeprefix("benchmarks."),
            "",
            tasks=(),
            switches=getattr(importlib.import_module(words[at]), "SWITCHES", None),
            arguments=["--tasks-root", str(tmp_path), *flags],
        )
    assert {words[-1] for _, words in BENCHMARKS} >= {"benchmarks.controlled_run"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_toml_and_yaml_block_is_a_configuration(page: Path, tmp_path: Path) -> None:
    for language in ("toml", "yaml"):
        for block in blocks(page, language):
            path = tmp_path / f"a.{language}"
            path.write_text(block.text, encoding="utf-8")
            for task in ("a", *read_config(path).get("tasks", ())):
                RunConfig.model_validate({"task": task} | for_task(read_config(path), task, path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
