"""The command line: configuration files, one line per error, light help."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.cli import main
from sec_rl.cli.config_file import config_sources
from sec_rl.config import RunConfig

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs `sec-rl WORDS` and returns exit code, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["sec-rl", *words])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_printed_configuration_is_a_valid_one(call: Call, tmp_path: Path) -> None:
    words = ("--data-ratio", "0.3", "--levers.depth-share", "0.25", "--pruning.cost", "flops", "--threads", "1")
    code, printed, _ = call("run", "--task", "sms-spam", *words, "--print-config")
    assert code == 0
    config = RunConfig.model_validate(tomllib.loads(printed))
    assert (config.data_ratio, config.levers.depth_share, config.pruning.cost, config.threads) == (
        0.3,
        0.25,
        "flops",
        1,
    )
    path = tmp_path / "a.toml"
    path.write_text(printed, encoding="utf-8")
    assert call("run", "--config", str(path), "--print-config")[1] == printed


def test_flags_win_over_the_file(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('task = "sms-spam"\nseed = 3\ndata_ratio = 0.5\n[levers]\ndepth_share = 0.1\n', encoding="utf-8")
    _, printed, _ = call("run", f"--config={path}", "--data-ratio", "0.7", "--print-config")
    config = RunConfig.model_validate(tomllib.loads(printed))
    assert (config.seed, config.data_ratio, config.levers.depth_share) == (3, 0.7, 0.1)
    # A file is for one call; the next one knows nothing of it.
    assert tomllib.loads(call("run", "--task", "a", "--print-config")[1])["seed"] == 0


def test_what_a_run_adds_about_itself_is_no_setting(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('task = "sms-spam"\n[resolved]\npasses = 7\n', encoding="utf-8")
    code, printed, _ = call("run", "--config", str(path), "--print-config")
    assert code == 0
    assert "passes" not in tomllib.loads(printed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('task = "a"\ncompresion_ratio = 0.4\n', "--compression-ratio"),
        ('task = "a"\n[levers]\ndepth_shar = 0.4\n', "--levers.depth-share"),
        ('task = "a"\ndata_ratio = "much"\n', "--data-ratio is 'much'"),
        ('task = "a\n', "not TOML"),
        ("", "--task"),
    ],
)
def test_bad_file_is_one_line(call: Call, tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    code, _, error = call("run", "--config", str(path), "--out", str(tmp_path / "run"))
    assert code == 2
    assert expected in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--task", "a", "--compression-ratio", "abc"], "--compression-ratio is 'abc'"),
        (["run", "--task", "a", "--compression-ratio", "1.5"], "less than or equal to 0.95"),
        (["run", "--task", "a", "--levers.depth-share", "2"], "depth share is 2"),
        (["run", "--task", "a", "--n-segments", "1.5"], "--n-segments"),
        (["run", "--task", "a"], "--out"),
        (["run", "--task", "a", "--config", "nowhere.toml"], "'nowhere.toml' cannot be read"),
        (["runn"], '"run"'),
        (["predict", "nowhere"], "at least one text"),
        (["predict", "nowhere", "text"], "'nowhere'"),
        (["compare"], "at least one"),
        (["compare", "nowhere"], "'nowhere'"),
        (["measure", "nowhere"], "'nowhere'"),
    ],
)
def test_bad_words_are_one_line(call: Call, words: list[str], expected: str) -> None:
    code, _, error = call(*words)
    assert code == 2
    assert expected in error
    assert error.startswith("sec-rl: ")
    assert error.count("\n") == 1
    assert "pydantic" not in error


@pytest.mark.parametrize("verb", ["run", "predict", "compare", "tasks", "measure"])
def test_every_command_has_help_with_seed_and_quiet(call: Call, verb: str) -> None:
    code, printed, _ = call(verb, "--help")
    assert code == 0
    assert "--seed" in printed
    assert "--quiet" in printed
    assert "Example:" in printed


@given(st.text(max_size=20))
def test_only_the_flag_itself_names_a_file(word: str) -> None:
    words = ["run", "--task", word] if not word.startswith("--config") else ["run", "--task", "a"]
    assert config_sources([*words, "--", "--config", "x.toml"]) == ()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom sec_rl.cli import main\nsys.argv = ['sec-rl', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "import json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(child.stderr))
    assert not loaded & {"torch", "transformers", "datasets", "onnxruntime", "sklearn", "matplotlib", "pandas"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--backend", "bert"), "needs --task"),
        (("--task", "sms-spam"), "the simulator draws its tasks"),
        (("--passes", "100"), "--passes is for the real runs of the backend 'bert'"),
        (("--ray-address", "local"), "--ray-address is for the real runs of the backend 'bert'"),
        (("--backend", "bert", "--task", "sms-spam"), "start from a policy"),
    ],
)
def test_training_refuses_what_it_would_ignore(
    call: Call, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    code, _, error = call("train", "--out", str(tmp_path / "policy"), *words)
    assert code == 2
    assert expected in error
    assert not (tmp_path / "policy").exists()
