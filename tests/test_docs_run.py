"""Every code block of README and docs is executed, page by page and from top to bottom, in a small world.

A command is run as it is typed, but for budgets: of passes, steps and episodes it gets few. What is not executed is
named in `NOT_EXECUTED`, with the reason.
"""

from __future__ import annotations

import csv
import doctest
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

import sec_rl
from sec_rl.agents import run as agents_run
from sec_rl.agents.run import run
from sec_rl.agents.shipped import shipped_policy, shipped_traces
from sec_rl.cli import main
from sec_rl.config import RunConfig
from sec_rl.data import selection
from sec_rl.report.run_page import REPORT
from tests.documented import PAGES, ROOT, Block, blocks
from tests.small_world import SEGMENTS, make_small, rows_of_words
from tests.test_hub import CopyingApi

# The beginning of a command -> why no test runs it.
NOT_EXECUTED = {
    "make test": "runs this test",
    "pip install": "needs a package index",
    "export SEC_RL_TASKS=": "names a folder of the reader's",
    "sec-rl run --task hub:glue/mrpc": "downloads from the hub; test_tasks_hub.py reads a hub on disk",
    "sec-rl replay --task movie-reviews --out runs/tracked --tracker wandb": "an extra; see test_trackers.py",
    "sec-rl train --out runs/policy --tracker mlflow": "an extra; see test_trackers.py",
    "sec-rl train --out runs/policy --resume": "goes on with what was interrupted; test_train.py interrupts one",
    "torchrun": "processes that wait for each other; test_replicas.py starts two",
    "sec-rl train --backend bert": "five real runs in workers of their own; test_worker_lanes.py has such lanes",
    # Of every benchmark the options are parsed in test_docs.py.
    "python -m benchmarks.controlled_run": "an hour; reads the reader's tasks",
    "python -m benchmarks.data_levers": "an hour; reads the reader's tasks",
    "python -m benchmarks.same_accuracy": "an hour; reads the runs of controlled_run",
    "python -m benchmarks.left_out": "a day; reads the reader's tasks",
    "python -m benchmarks.ranking": "minutes: policies and dense runs of three tasks",
    "python -m benchmarks.speedup_targets": "an hour; reads the reader's tasks",
    "python -m benchmarks.paper_tables": "hours; test_paper_tables.py makes the tables of runs that are made up",
    "python -m benchmarks.controllers": "minutes at the least; test_controllers_benchmark.py plays small worlds",
    "python -m benchmarks.ablations": "half an hour; test_recipes.py learns a few steps",
    "python -m benchmarks.shared_luck": "minutes; reads the runs of controllers_real, and the reader's tasks",
    "python -m benchmarks.throughput": "times this machine",
    "python -m benchmarks.noise": "times this machine; test_benchmarks.py judges comparisons that are made up",
    "python -m benchmarks.workers": "times this machine; test_workers.py has the scheduler",
    "python -m benchmarks.first_result": "installs an environment of its own",
    "python -m benchmarks.interop": "installs an environment of its own",
    "python -m benchmarks.faults": "minutes at the least; test_faults.py injects a few of each",
    "python -m benchmarks.screenshots": "needs Chromium; test_browser.py opens the pages",
}
# Page -> what a reader has before its first line: `policy` and `earlier` are policies, `traces` recorded episodes,
# the others finished runs.
BEFORE = {
    "controller.md": ("runs/traces",),
    "interfaces.md": ("runs/policy", "runs/first"),
    "replay_on_your_task.md": ("runs/policy",),
    "run_folder.md": ("RUN",),
    "traces/README.md": ("earlier",),
}
_FEW = {
    "run": {"--passes": "160", "--n-segments": str(SEGMENTS)},
    "replay": {"--passes": "160"},
    "train": {"--steps": "1024"},
    "collect": {"--episodes": "4"},
}


def name_of(page: Path) -> str:
    """Return the page's name, with its folder where there are several."""
    return "traces/README.md" if page.parent.name == "traces" else page.name


def reason(words: list[str]) -> str | None:
    """Return which entry of `NOT_EXECUTED` keeps a command from being run."""
    line = " ".join(words).removeprefix(".venv/bin/")
    return next((start for start in NOT_EXECUTED if line.startswith(start)), None)


RUN_PAGES = [
    page
    for page in PAGES
    if blocks(page, "python")
    or any(reason(words) is None for block in blocks(page, "bash") for words in block.commands())
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make the program small; return a folder with its encoder and a finished run."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "encoder").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch, folder / "encoder")
        run(
            RunConfig(task="movie-reviews", schedule="cubic", compression_ratio=0.5, n_segments=SEGMENTS),
            folder / "run",
        )
        # One page is drawn in full; thirty more would take as long as everything else.
        patch.setattr(agents_run, "write_report", _blank_page)
        yield folder


def _blank_page(folder: Path) -> Path:
    path = folder / REPORT
    path.write_text("<title>a report</title>", encoding="utf-8")
    return path


def _prepare(page: Path, world: Path) -> None:
    """Lay out what the reader of a page has, in the present folder."""
    shutil.copytree(world / "encoder", "path/to/encoder")
    names = ("path/to/folder", "clinc150", "mrpc", "snips")
    for name in names:
        Path(name).mkdir(parents=True)
        _write_csv(Path(name) / "train.csv", ("text", "label"), 400)
    _write_csv(Path("mine.csv"), ("review", "stars"), 200)
    for name in BEFORE.get(name_of(page), ()):
        last = Path(name).name
        kinds = {"policy": shipped_policy, "earlier": shipped_policy, "traces": shipped_traces}
        shutil.copytree(kinds[last]() if last in kinds else world / "run", name)
    if page.parent.name == "traces":
        shutil.copy(page.parent / "episodes.parquet", ".")
    # The tables that a checkout has.
    Path("docs").mkdir()
    Path("docs/results").symlink_to(ROOT / "docs" / "results")


def _write_csv(path: Path, header: tuple[str, str], n: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows_of_words(n)])


def _with_few(words: list[str]) -> list[str]:
    """Return a command with little to do."""
    if "--resume" in words:
        return words
    for flag, value in _FEW.get(words[1], {}).items():
        words = [*words, flag, value] if flag not in words else [*words]
        words[words.index(flag) + 1] = value
    return words


def _execute(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a `sec-rl` command; a folder that it is to create is free, as it is when only this one is typed."""
    into = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if ">" in words else words
    if "--out" in words and "--resume" not in words:
        out = Path(words[words.index("--out") + 1])
        shutil.rmtree(out, ignore_errors=True)
    monkeypatch.setattr("sys.argv", _with_few(words))
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            main()
    except SystemExit as stopped:
        pytest.fail(f"{' '.join(words)}: exit code {stopped.code}, see standard error")
    if into is not None:
        Path(into).write_text(printed.getvalue(), encoding="utf-8")


def _recipe(target: str) -> list[list[str]]:
    """Return the `sec-rl` commands of a target of the Makefile."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-n", target], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    words = [line.split() for line in done.stdout.splitlines()]
    return [["sec-rl", *each[1:]] for each in words if each and each[0].endswith("/sec-rl")]


def _run_block(block: Block, number: int, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if block.language == "python":
        exec(compile(block.text, f"{names['__name__']}, block {number}", "exec"), names)
    elif block.language in ("toml", "yaml"):
        Path(f"tasks.{block.language}").write_text(block.text, encoding="utf-8")
    elif block.language == "bash":
        for words in block.commands():
            if reason(words) is not None:
                continue
            for each in _recipe(words[1]) if words[0] == "make" else [words]:
                assert each[0] == "sec-rl", f"{words}: neither executed nor in NOT_EXECUTED"
                _execute(each, monkeypatch)


@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_every_block_is_executed(page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _prepare(page, world)
    # A page may give a name to its own lever, and push to a hub that is a folder.
    monkeypatch.setattr(selection, "SELECTIONS", selection.SELECTIONS)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(CopyingApi, "cache", tmp_path / "hub", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", CopyingApi)
    names: dict[str, Any] = {"__name__": page.stem}
    for number, block in enumerate(blocks(page)):
        _run_block(block, number, names, monkeypatch)


@pytest.mark.parametrize("name", sorted(set(sec_rl.__all__) - {"__version__"}))
def test_examples_of_the_python_interface(
    name: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "run", "RUN")
    shutil.copytree(shipped_traces(), "runs/traces")
    _write_csv(Path("mine.csv"), ("review", "stars"), 200)
    found = doctest.DocTestFinder(recurse=False).find(getattr(sec_rl, name), name, module=False, globs={})
    runner = doctest.DocTestRunner()
    for each in found:
        runner.run(each)
    assert runner.tries > 0
    assert runner.failures == 0, capsys.readouterr().out


def test_what_is_not_executed_is_still_there() -> None:
    found = {reason(words) for page in PAGES for block in blocks(page, "bash") for words in block.commands()}
    assert found - {None} == set(NOT_EXECUTED)
    assert set(BEFORE) <= {name_of(page) for page in PAGES}


def test_every_block_has_a_language_that_is_executed() -> None:
    """What has none is a drawing, a law or a message."""
    languages = {block.language for page in PAGES for block in blocks(page)}
    assert languages <= {"", "python", "bash", "toml", "yaml"}
