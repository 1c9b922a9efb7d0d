"""What README and docs tell people to type is something the program takes."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import read_counts
from benchmarks.options import parse_options
from sec_rl.cli import app
from sec_rl.cli.config_file import for_task, read_config
from sec_rl.config import RunConfig
from sec_rl.data import selection
from tests.made_up_runs import made_up_run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "sec_rl/shipped/traces/README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a language on a page."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every shell command on a page."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
OURS = [pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page, words in COMMANDS if words[0] == "sec-rl"]
BENCHMARKS = [(page, words) for page, words in COMMANDS if any(word.startswith("benchmarks.") for word in words)]
# What is marked `py` in a tutorial is not executed, as it trains for real or reads what only a checkout has.
SNIPPETS = [
    pytest.param(code, id=f"{page.name} {i}")
    for page in PAGES
    for i, code in enumerate([*blocks(page, "python"), *blocks(page, "py")])
]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


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


@pytest.mark.parametrize("code", SNIPPETS)
def test_every_snippet_compiles_and_imports(code: str) -> None:
    compile(code, "snippet", "exec")
    lines = [line for line in code.splitlines() if line.startswith(("import ", "from "))]
    exec("\n".join(lines), {})


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_tutorial_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python runs from top to bottom, in an empty folder with one finished run."""
    (tmp_path / "runs").mkdir()
    made_up_run(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    # A tutorial may give a name to its own lever.
    monkeypatch.setattr(selection, "SELECTIONS", selection.SELECTIONS)
    names: dict[str, object] = {"__name__": page.stem}
    codes = blocks(page, "python")
    assert codes
    for i, code in enumerate(codes):
        exec(compile(code, f"{page.name}, block {i}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_toml_and_yaml_block_is_a_configuration(page: Path, tmp_path: Path) -> None:
    for language in ("toml", "yaml"):
        for text in blocks(page, language):
            path = tmp_path / f"a.{language}"
            path.write_text(text, encoding="utf-8")
            for task in ("a", *read_config(path).get("tasks", ())):
                RunConfig.model_validate({"task": task} | for_task(read_config(path), task, path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
