"""The command line: configuration files, one line per error, light help."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sec_rl
from sec_rl.cli import main
from sec_rl.cli.config_file import config_sources
from sec_rl.cli.going_on import go_on_with
from sec_rl.cli.printing import RunPrinter
from sec_rl.cli.yaml_file import parse_yaml
from sec_rl.config import RunConfig
from sec_rl.errors import RunInterruptedError
from sec_rl.tasks import load_task

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


def test_one_file_serves_many_tasks(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "zoo.toml"
    path.write_text(
        "passes = 6400\n[levers]\ndepth_share = 0.1\n"
        '[tasks.questions]\npasses = 3200\n[tasks.questions.levers]\naugmentation_share = 0.2\n[tasks."a b"]\n',
        encoding="utf-8",
    )
    found = {}
    for task in ("questions", "sms-spam"):
        code, printed, _ = call("run", "--task", task, "--config", str(path), "--print-config")
        assert code == 0
        found[task] = RunConfig.model_validate(tomllib.loads(printed))
    assert (found["questions"].passes, found["sms-spam"].passes) == (3200, 6400)
    levers = found["questions"].levers
    assert (levers.depth_share, levers.augmentation_share) == (0.1, 0.2)
    assert found["sms-spam"].levers.augmentation_share == 0.0
    path.write_text('task = "a"\ntasks = 3\n', encoding="utf-8")
    code, _, error = call("run", "--config", str(path), "--print-config")
    assert (code, "a table per task" in error) == (2, True)


def test_a_yaml_file_does_what_a_toml_file_does(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "zoo.yml"
    path.write_text(
        """# an own learning rate, as YAML 1.1 would not read it
learning_rate: 2e-5
seed: 3
policy:
levers: {depth_share: 0.1}
tasks:
  questions: &long
    passes: 3200
    levers: {augmentation_share: 0.2}
  no: {<<: *long, seed: 4}
  "1": *long
""",
        encoding="utf-8",
    )
    found = {}
    for task in ("questions", "no", "1", "sms-spam"):
        code, printed, error = call("run", "--task", task, "--config", str(path), "--print-config")
        assert (code, error) == (0, "")
        found[task] = RunConfig.model_validate(tomllib.loads(printed))
    assert [config.passes for config in found.values()] == [3200, 3200, 3200, None]
    assert [config.seed for config in found.values()] == [3, 4, 3, 3]
    assert (found["no"].learning_rate, found["no"].policy) == (2e-5, None)
    assert (found["questions"].levers.depth_share, found["questions"].levers.augmentation_share) == (0.1, 0.2)
    assert found["sms-spam"].levers.augmentation_share == 0.0
    # What is printed is a file that says the same.
    again = tmp_path / "printed.toml"
    again.write_text(call("run", "--task", "no", "--config", str(path), "--print-config")[1], encoding="utf-8")
    assert tomllib.loads(call("run", "--config", str(again), "--print-config")[1]) == tomllib.loads(again.read_text())


def refused_in_one_line(call: Call, path: Path, text: str, expected: str) -> None:
    """Give a run a bad configuration: one line says what is wrong with it, and nothing is left behind."""
    path.write_text(text, encoding="utf-8")
    code, _, error = call("run", "--config", str(path), "--out", str(path.parent / "run"))
    assert code == 2
    assert expected in error
    assert error.count("\n") == 1
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: a\ncompresion_ratio: 0.4\n", "--compression-ratio"),
        ("task: a\nlevers: {depth_shar: 0.4}\n", "--levers.depth-share"),
        ("task: a\ndata_ratio: much\n", "--data-ratio is 'much'"),
        ("task: a\nseed: 1\n\nseed: 2\n", "a.yaml' is not plain YAML: line 4: the key 'seed' is there twice"),
        ("task: a\nlevers: !!python/tuple [1]\n", "line 2: the tag '!!python/tuple'"),
        ("task: a\nlevers: {<<: 3}\n", "line 2: '<<' takes a table"),
        ("task: a\nlevers: [1\n", "line 3: while parsing a flow sequence"),
        ("task: a\n? [b]\n: 3\n", "line 2: a key is no plain word"),
        ("task: a\n---\ntask: b\n", "line 2: expected a single document"),
        ("task: a\x00\n", "special characters are not allowed"),
        ("- task\n", "it holds no keys with values"),
        ("task: a\ntasks: [b]\n", "a table per task"),
        ("", "--task"),
    ],
)
def test_bad_yaml_is_one_line(call: Call, tmp_path: Path, text: str, expected: str) -> None:
    refused_in_one_line(call, tmp_path / "a.yaml", text, expected)


@given(st.text(st.sampled_from("ab:-[]{}&*<!\"'|>#\n ,?%0.~e"), max_size=40))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_yaml(text, 1000), dict)


def test_a_replay_is_printed_as_a_run(call: Call, tmp_path: Path) -> None:
    code, printed, _ = call("replay", "questions", "--target-speedup", "8", "--passes", "320", "--print-config")
    assert code == 0
    path = tmp_path / "a.toml"
    path.write_text(printed, encoding="utf-8")
    assert call("run", "--config", str(path), "--print-config")[1] == printed
    config = RunConfig.model_validate(tomllib.loads(printed))
    assert (config.schedule, config.preference.target_speedup, config.passes) == ("policy", 8.0, 320)


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
        ('task = ["a", "b"]\n', "[task]"),
        ("", "--task"),
    ],
)
def test_bad_file_is_one_line(call: Call, tmp_path: Path, text: str, expected: str) -> None:
    refused_in_one_line(call, tmp_path / "a.toml", text, expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--task", "a", "--compression-ratio", "abc"], "--compression-ratio is 'abc'"),
        (["run", "--task", "a", "--schedule", "cubc"], "did you mean 'cubic'?"),
        (["run", "--taks", "a"], "--task"),
        (["replay", "movie-reviws", "--out", "a"], "Did you mean 'movie-reviews'?"),
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


VERBS = ["calibrate", "collect", "compare", "measure", "predict", "replay", "run", "tasks", "train"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_seed_quiet_defaults_and_an_example(call: Call, verb: str) -> None:
    code, printed, _ = call(verb, "--help")
    assert code == 0
    # Lines break anywhere inside the frame.
    text = " ".join(printed.replace("│", " ").split())
    for expected in ("--seed", "--quiet", "Example:", f"sec-rl {verb} ", "[default: 0]"):
        assert expected in text
    assert "--no-" not in printed


def test_flags_and_commands_stand_in_groups(call: Call) -> None:
    printed = call("run", "--help")[1]
    groups = ["Task", "What drives the run", "What is wanted", "Training", "Levers", "Pruning", "Reference and clock"]
    places = [printed.index(f"─ {group} ─") for group in [*groups, "Folder and terminal"]]
    assert places == sorted(places)
    assert places[1] < printed.index("--compression-ratio FLOAT") < places[2]
    assert "points of accuracy (0..100)" in printed
    top = call("--help")[1]
    assert top.index("─ A model ─") < top.index(" replay ") < top.index("─ A controller ─") < top.index(" train ")
    assert set(VERBS) <= set(top.split())


def test_version_names_what_decides_figures(call: Call) -> None:
    code, printed, _ = call("--version")
    lines = printed.splitlines()
    assert code == 0
    assert lines[0] == f"sec-rl {sec_rl.__version__}"
    assert {"Python", "torch", "transformers", "onnxruntime", "numpy"} <= {line.split()[0] for line in lines}
    assert "usable cores" in printed


@pytest.mark.clock
def test_help_is_quick() -> None:
    """Seconds of processor time, the best of two: under half a second, and up to twice that on a busy machine."""
    code = "import sys\nfrom sec_rl.cli import main\nsys.argv = ['sec-rl', *sys.argv[1:]]\nmain()"
    for verb in ([], ["replay"]):
        took = []
        for _ in range(2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code, *verb, "--help"], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert min(took) < 1.0


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
    assert not loaded & {
        "torch",
        "transformers",
        "datasets",
        "onnxruntime",
        "sklearn",
        "matplotlib",
        "pandas",
        "yaml",
    }


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


def test_an_interrupt_holds_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sec-rl", "train", "--out", "a b", "--overwrite"])
    with pytest.raises(RunInterruptedError, match=r"; to go on: sec-rl train --out 'a b' --resume$"):
        _interrupted(True, "--resume")
    with pytest.raises(RunInterruptedError, match=r"sec-rl train --out 'a b'$"):
        _interrupted(True)
    # Nothing was kept: the command as it was typed begins anew.
    with pytest.raises(KeyboardInterrupt):
        _interrupted(False, "--resume")


def test_an_interrupt_outside_a_loop_is_told_in_a_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sec_rl.agents.replay_config.replay_config", interrupted)
    code, _, error = call("replay", "movie-reviews", "--out", "x")
    assert (code, error.strip()) == (130, "sec-rl: Interrupted.")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("replay", "movie-reviews", "--data-ratio", "1.5"), "--data-ratio is 1.5"),
        (("replay", "movie-reviews", "--passes", "0"), "--passes is 0"),
        (("replay", "movie-reviews", "--seed", "-1"), "--seed is -1"),
        (("collect", "--task", "movie-reviews", "--seed", "-1"), "seed is -1; it must be at least 0"),
    ],
)
def test_a_number_out_of_range_is_refused_in_a_line(
    call: Call, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    code, _, error = call(*words, "--out", str(tmp_path / "out"))
    assert code == 2
    assert expected in error
    assert len(error.strip().splitlines()) == 1


def test_what_was_asked_for_is_kept_in_a_quick_replay(call: Call) -> None:
    for words, expected in (((), "passes = 640\n"), (("--passes", "3000"), "passes = 3000\n")):
        _, printed, _ = call("replay", "movie-reviews", "--quick", *words, "--print-config")
        assert expected in printed


def _interrupted(kept: bool, *added: str) -> None:
    with go_on_with(lambda: kept, *added):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), "Columns told by their names: 'review' is text, 'stars' is label."),
        (("--text", "review"), "Columns told by their names: 'stars' is label."),
        (("--text", "review", "--label", "stars"), "task mine.csv: 2 classes"),
    ],
)
def test_columns_are_guessed_and_the_guess_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: Any, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i},number {i} is {word},{word}\n" for i in range(80) for word in ("good", "bad"))
    Path("mine.csv").write_text("id,review,stars\n" + rows, encoding="utf-8")
    names = dict(zip(flags[::2], flags[1::2], strict=True))
    task = load_task("mine.csv", text=names.get("--text"), label=names.get("--label"))
    RunPrinter(quiet=False).task(task)
    printed = capsys.readouterr().out
    assert expected in printed
    assert ("told by" in printed) == (len(flags) < 4)
    assert "Columns left out: 'id'." in printed
