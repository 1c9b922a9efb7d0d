"""Hub tasks, on local folders in the hub's layout: no test needs the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from sec_rl.errors import InputError
from sec_rl.tasks import load_task
from sec_rl.tasks.columns import find_columns
from sec_rl.tasks.hub import candidates

CONFIGS = """---
configs:
- config_name: first
  data_files:
  - split: train
    path: first/*.jsonl
- config_name: second
  data_files:
  - split: train
    path: second/*.jsonl
---
"""


def columns(n: int, prefix: str, label: int | None = None) -> dict[str, list[Any]]:
    return {
        "idx": list(range(n)),
        "sentence1": [f"{prefix} first {i}" for i in range(n)],
        "sentence2": [f"{prefix} second {i}" for i in range(n)],
        "label": [i % 2 if label is None else label for i in range(n)],
    }


@pytest.fixture
def glue_like(tmp_path: Path) -> Path:
    """Pairs with named integer labels and a test split whose labels are secret."""
    features = Features(
        idx=Value("int32"),
        sentence1=Value("string"),
        sentence2=Value("string"),
        label=ClassLabel(names=["different", "same"]),
    )
    for split, n, label in (("train", 100, None), ("validation", 20, None), ("test", 20, -1)):
        data = Dataset.from_dict(columns(n, split, label), features)
        data.to_parquet(str(tmp_path / f"{split}-00000-of-00001.parquet"))
    return tmp_path


def test_a_local_folder_in_hub_layout(glue_like: Path) -> None:
    task = load_task(f"hub:{glue_like}")
    assert task.label_names == ("different", "same")
    assert task.train.pairs is not None
    assert (task.train.texts[0], task.train.pairs[0]) == ("train first 0", "train second 0")
    assert len(task.validation) == 20
    assert (len(task.train), len(task.test)) == (90, 10)
    assert "20 rows of test left out because they have no label." in task.notes
    assert "Columns told by their names: 'sentence1' is text, 'sentence2' is text_pair." in task.notes


def test_a_configuration_is_the_last_part(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CONFIGS)
    for config in ("first", "second"):
        (tmp_path / config).mkdir()
        lines = (f'{{"review": "{config} {i}", "stars": {i % 3 + 1}}}' for i in range(90))
        (tmp_path / config / "part.jsonl").write_text("\n".join(lines))
    task = load_task(f"hub:{tmp_path}/second")
    assert all(text.startswith("second") for text in task.train.texts)
    assert task.label_names == ("1", "2", "3")
    with pytest.raises(InputError, match=r"'first', 'second'"):
        load_task(f"hub:{tmp_path}")
    with pytest.raises(InputError, match=r"third.*'first', 'second'"):
        load_task(f"hub:{tmp_path}/third")


def test_bad_rows_are_named(tmp_path: Path) -> None:
    lines = [f'{{"text": "text {i}", "label": {i % 2}}}' for i in range(40)]
    lines[7] = '{"text": " ", "label": 1}'
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match="train row 8 column 'text' is empty"):
        load_task(f"hub:{tmp_path}")


def test_columns_that_cannot_be_told_are_listed(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"a": "x", "b": 1}\n{"a": "y", "b": 0}\n')
    with pytest.raises(InputError, match=r"has no column 'text' \(its columns: 'a', 'b'\); --text"):
        load_task(f"hub:{tmp_path}")


def test_a_mistyped_path_does_not_load_its_parent(glue_like: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_task(f"hub:{glue_like}/train")
    for name in ("", "./nope", "a//b", "a/b/c/d"):
        with pytest.raises(InputError, match="cannot be loaded"):
            load_task(f"hub:{name}")


def test_an_unreachable_hub_is_one_line() -> None:
    with pytest.raises(InputError, match=r"hub:some-org/some-set cannot be loaded: [^\n]+$"):
        load_task("hub:some-org/some-set")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imdb", [("imdb", None)]),
        ("org/set", [("org/set", None), ("org", "set")]),
        ("org/set/config", [("org/set", "config")]),
        ("a/b/c/d", []),
    ],
)
def test_what_a_name_can_mean(name: str, expected: list[tuple[str, str | None]]) -> None:
    assert candidates(name) == expected


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["sentence", "label", "idx"], ("sentence", None, "label")),
        (["question", "sentence", "label"], ("question", "sentence", "label")),
        (["premise", "hypothesis", "label"], ("premise", "hypothesis", "label")),
        (["text", "coarse_label", "fine_label"], ("text", None, "coarse_label")),
        (["Text", "Label"], ("Text", None, "Label")),
        (["utterance", "intent"], ("utterance", None, "intent")),
    ],
)
def test_columns_are_told_by_name(there: list[str], expected: tuple[str, str | None, str]) -> None:
    text, pair, label = expected
    assert find_columns("x", there) == {"text": text} | ({"text_pair": pair} if pair else {}) | {"label": label}
    assert isinstance(find_columns("x", there[:1]), str)
