"""Folder tasks: what can be read is read exactly, what cannot is named by file, row and column."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults.bad_rows import BAD_CSV_ROWS, BAD_JSONL_ROWS
from sec_rl.agents.configured import configured_task
from sec_rl.config import RunConfig
from sec_rl.errors import InputError
from sec_rl.tasks import Task, load_task
from sec_rl.tasks.read_text import MISSING_MARKS, read_csv, read_jsonl

Row = dict[str, Any]
N_TRAIN, N_HELD = 64, 10


def rows(n: int, prefix: str, labels: tuple[Any, ...] = ("ham", "spam")) -> list[Row]:
    return [{"text": f"{prefix} text {i}", "label": labels[i % len(labels)]} for i in range(n)]


def write_csv(path: Path, data: list[Row], extra: str = "") -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(data[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(data)
    path.write_text(out.getvalue() + extra, encoding="utf-8")


def write_jsonl(path: Path, data: list[Row], extra: str = "") -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in data) + extra, encoding="utf-8")


def write_parquet(path: Path, data: list[Row]) -> None:
    import pandas as pd

    pd.DataFrame(data).to_parquet(path, index=False)


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


def make_folder(folder: Path, suffix: str = "csv", labels: tuple[Any, ...] = ("ham", "spam")) -> Path:
    """Write a sound task whose splits share no text."""
    for split, n in (("train", N_TRAIN), ("validation", N_HELD), ("test", N_HELD)):
        WRITERS[suffix](folder / f"{split}.{suffix}", rows(n, split, labels))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_task(str(folder))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize("labels", [("ham", "spam"), (0, 1)])
def test_every_format_gives_the_same_task(tmp_path: Path, suffix: str, labels: tuple[Any, ...]) -> None:
    task = load_task(str(make_folder(tmp_path, suffix, labels)))
    assert (len(task.train), len(task.validation), len(task.test)) == (N_TRAIN, N_HELD, N_HELD)
    assert task.label_names == tuple(str(label) for label in labels)
    assert task.train.texts[:2] == ("train text 0", "train text 1")
    assert task.train.labels[:4].tolist() == [0, 1, 0, 1]
    assert task.train.pairs is None
    assert task.notes == ()


def test_formats_may_differ_between_splits_and_share_one_fingerprint(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    make_folder(one)
    make_folder(two, "parquet")
    (two / "test.parquet").unlink()
    write_jsonl(two / "test.jsonl", rows(N_HELD, "test"))
    first, second = load_task(str(one)), load_task(str(two))
    assert first.fingerprint == second.fingerprint
    write_csv(one / "test.csv", rows(N_HELD, "Test"))
    assert load_task(str(one)).fingerprint != first.fingerprint


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_pairs(tmp_path: Path, suffix: str) -> None:
    make_folder(tmp_path, suffix)
    for split in ("train", "validation", "test"):
        data = [row | {"text_pair": f"{row['text']} again"} for row in rows(N_TRAIN, split)]
        WRITERS[suffix](tmp_path / f"{split}.{suffix}", data)
    task = load_task(str(tmp_path))
    assert task.is_pair
    assert task.train.pairs is not None
    assert task.train.pairs[3] == "train text 3 again"


def test_integer_labels_keep_their_order_and_need_not_start_at_zero(tmp_path: Path) -> None:
    task = load_task(str(make_folder(tmp_path, labels=(10, 2, 1))))
    assert task.label_names == ("1", "2", "10")
    assert task.train.labels[:3].tolist() == [2, 1, 0]


@pytest.mark.parametrize("labels", [(1, 0), ("good", "bad")])
def test_info_json_names_the_labels_and_orders_them(tmp_path: Path, labels: tuple[Any, ...]) -> None:
    make_folder(tmp_path, "jsonl", labels)
    (tmp_path / "info.json").write_text('{"labels": ["bad", "good"]}')
    task = load_task(str(tmp_path))
    assert task.label_names == ("bad", "good")
    assert task.train.labels[:2].tolist() == [1, 0]


def test_class_labels_of_a_parquet_file_bring_their_names(tmp_path: Path) -> None:
    features = Features(text=Value("string"), label=ClassLabel(names=["no", "yes"]))
    for split in ("train", "validation", "test"):
        data = rows(N_TRAIN, split, (0, 1))
        columns = {name: [row[name] for row in data] for name in ("text", "label")}
        Dataset.from_dict(columns, features).to_parquet(str(tmp_path / f"{split}.parquet"))
    assert load_task(str(tmp_path)).label_names == ("no", "yes")


@pytest.mark.parametrize("fault", sorted(BAD_CSV_ROWS))
def test_a_bad_csv_row_is_named(tmp_path: Path, fault: str) -> None:
    line, expected = BAD_CSV_ROWS[fault]
    make_folder(tmp_path)
    write_csv(tmp_path / "train.csv", rows(N_TRAIN, "train"), extra=line + "\n")
    assert f"train.csv {expected}" in refusal(tmp_path)


def test_lines_count_through_quoted_line_breaks(tmp_path: Path) -> None:
    make_folder(tmp_path)
    data = rows(N_TRAIN, "train")
    data[2]["text"] = "three\nlines\nof text"
    write_csv(tmp_path / "train.csv", data, extra=",ham\n")
    assert "train.csv row 65 (line 68) column 'text'" in refusal(tmp_path)


@pytest.mark.parametrize("fault", sorted(BAD_JSONL_ROWS))
def test_a_bad_jsonl_row_is_named(tmp_path: Path, fault: str) -> None:
    line, expected = BAD_JSONL_ROWS[fault]
    make_folder(tmp_path, "jsonl")
    write_jsonl(tmp_path / "train.jsonl", rows(N_TRAIN, "train"), extra=line + "\n")
    assert f"train.jsonl {expected}" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_invalid_utf8_is_named_by_row_and_column(tmp_path: Path, suffix: str) -> None:
    path = make_folder(tmp_path, suffix) / f"train.{suffix}"
    path.write_bytes(path.read_bytes().replace(b"train text 7", b"caf\xe9 text 7"))
    line = 9 if suffix == "csv" else 8
    assert f"row 8 (line {line}) column 'text' is not valid UTF-8 (byte 0xe9)" in refusal(tmp_path)


def test_invalid_utf8_in_parquet_is_named_too(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    make_folder(tmp_path, "parquet")
    texts = pa.array([f"text {i}".encode() for i in range(63)] + [b"caf\xe9"], pa.binary())
    # Arrow casts without looking when told to; writers in other languages do as much.
    strings = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers())
    table = pa.table({"text": strings, "label": ["ham", "spam"] * 32})
    parquet.write_table(table, tmp_path / "train.parquet")
    assert "train.parquet row 64 column 'text' is not valid UTF-8 (byte 0xe9)" in refusal(tmp_path)


def test_utf16_is_said_to_be_utf16(tmp_path: Path) -> None:
    path = make_folder(tmp_path) / "test.csv"
    path.write_text(path.read_text(), encoding="utf-16")
    assert "UTF-16" in refusal(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = make_folder(tmp_path) / "train.csv"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(load_task(str(tmp_path)).train) == N_TRAIN


def test_missing_labels_in_parquet_are_named(tmp_path: Path) -> None:
    make_folder(tmp_path, "parquet", (0, 1))
    features = Features(text=Value("string"), label=Value("int64"))
    columns = {"text": [f"t {i}" for i in range(64)], "label": [None, *([0, 1] * 31), 1]}
    Dataset.from_dict(columns, features).to_parquet(str(tmp_path / "train.parquet"))
    message = refusal(tmp_path)
    assert "train.parquet row 1 column 'label' is missing" in message
    assert "row 2" not in message


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    path = make_folder(tmp_path, "parquet") / "test.parquet"
    path.write_bytes(path.read_bytes()[:200])
    assert "test.parquet" in refusal(tmp_path)


def test_all_bad_rows_of_all_files_come_in_one_error(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_csv(tmp_path / "train.csv", rows(N_TRAIN, "train"), extra=",ham\n" * 15)
    write_csv(tmp_path / "test.csv", rows(N_HELD, "test"), extra="text,\n" * 15)
    message = refusal(tmp_path)
    assert "30 problems" in message
    assert message.count("column") == 20
    assert "train.csv row 79" in message
    assert "test.csv row 11" in message
    assert "and 10 more" in message


@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize(("column", "misspelt"), [("text", "txt"), ("label", "Lable")])
def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path, suffix: str, column: str, misspelt: str) -> None:
    make_folder(tmp_path, suffix)
    data = [{misspelt if k == column else k: v for k, v in row.items()} for row in rows(N_TRAIN, "v")]
    WRITERS[suffix](tmp_path / f"validation.{suffix}", data)
    message = refusal(tmp_path)
    assert f"validation.{suffix} has no column {column!r}" in message
    assert f"is it {misspelt!r}?" in message


def test_a_pair_column_must_stand_in_every_split(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_csv(tmp_path / "test.csv", [row | {"text_pair": "b"} for row in rows(N_HELD, "test")])
    assert "train.csv has no column 'text_pair', but test.csv has" in refusal(tmp_path)


def test_a_label_that_training_never_shows_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_csv(tmp_path / "test.csv", rows(N_HELD, "test", ("ham", "ham", "eggs")))
    message = refusal(tmp_path)
    assert "test.csv row 3 (line 4) column 'label' is 'eggs', a label that training never shows" in message
    assert message.count("eggs") == 1


def test_labels_outside_the_given_names_are_named(tmp_path: Path) -> None:
    make_folder(tmp_path, labels=("ham", "spma"))
    (tmp_path / "info.json").write_text('{"labels": ["ham", "spam"]}')
    assert "train.csv row 2 (line 3) column 'label' is 'spma'" in refusal(tmp_path)
    assert "did you mean 'spam'" in refusal(tmp_path)
    make_folder(tmp_path, labels=(0, 1, 2))
    assert "train.csv row 3 (line 4) column 'label' is 2, but names are given for 0 to 1" in refusal(tmp_path)


def test_integers_here_and_names_there(tmp_path: Path) -> None:
    make_folder(tmp_path, labels=(0, 1))
    write_csv(tmp_path / "train.csv", rows(N_TRAIN, "train", (0, 1)), extra="some text,one\n")
    assert "row 65 (line 66) column 'label' is a name ('one') where others are integers" in refusal(tmp_path)


@pytest.mark.parametrize("info", ["[]", "{", '{"labels": 3}', '{"labels": ["a", "a"]}', '{"labels": [1, 2]}'])
def test_a_bad_info_file_is_named(tmp_path: Path, info: str) -> None:
    make_folder(tmp_path)
    (tmp_path / "info.json").write_text(info)
    assert "info.json" in refusal(tmp_path)


def test_split_files_must_be_unambiguous(tmp_path: Path) -> None:
    assert "it holds nothing" in refusal(tmp_path)
    make_folder(tmp_path)
    (tmp_path / "validation.csv").rename(tmp_path / "dev.csv")
    assert "name it 'validation.csv'" in refusal(tmp_path)
    (tmp_path / "dev.csv").rename(tmp_path / "validation.csv")
    write_jsonl(tmp_path / "test.jsonl", rows(N_HELD, "test"))
    assert "'test.csv' and 'test.jsonl'" in refusal(tmp_path)


def test_empty_files_are_named(tmp_path: Path) -> None:
    make_folder(tmp_path, "jsonl")
    (tmp_path / "test.jsonl").write_text("\n")
    assert "test.jsonl has no rows" in refusal(tmp_path)
    (tmp_path / "test.jsonl").unlink()
    (tmp_path / "test.csv").write_text("")
    assert "test.csv has no column 'text'" in refusal(tmp_path)
    (tmp_path / "test.csv").write_text("text,label\n")
    assert "test.csv has no rows" in refusal(tmp_path)


def test_columns_left_out_are_noted(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_csv(tmp_path / "train.csv", [row | {"text_par": "b", "id": 1} for row in rows(N_TRAIN, "train")])
    assert load_task(str(tmp_path)).notes == ("Columns left out: 'id', 'text_par'.",)


def stars(n: int = N_TRAIN) -> list[Row]:
    """Return rows of a table that nobody made for this package."""
    return [{"id": i, "Review": f"text {i}", "title": f"title {i}", "stars": (1, 5)[i % 2]} for i in range(n)]


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_one_file_is_a_task_whose_columns_are_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    WRITERS[suffix](path, stars())
    task = load_task(str(path))
    assert len(task.train) + len(task.validation) + len(task.test) == N_TRAIN
    assert task.label_names == ("1", "5")
    assert task.train.texts[0].startswith("text")
    assert task.notes[0] == "Columns told by their names: 'Review' is text, 'stars' is label."
    assert "Columns left out: 'id', 'title'." in task.notes


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_columns_are_what_the_user_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    WRITERS[suffix](path, [row | {"label": "x", "mood": ("sad", "glad")[row["id"] % 2]} for row in stars()])
    task = load_task(str(path), text="title", text_pair="Review", label="mood")
    assert task.label_names == ("glad", "sad")
    assert task.train.pairs is not None
    assert task.train.texts[0].startswith("title")
    assert not any("told" in note for note in task.notes)
    # What is named switches off what would be told, and the rest still is.
    assert load_task(str(path), text="title", label="stars").train.pairs is None
    assert "'stars' is label" not in " ".join(load_task(str(path), label="mood").notes)
    with pytest.raises(InputError, match=r"has no column 'reviews' .*is it 'Review'"):
        load_task(str(path), text="reviews")
    with pytest.raises(InputError, match="one column cannot be two of"):
        load_task(str(path), text="Review", label="Review")


def test_a_bad_row_is_found_under_the_name_that_the_file_gives_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "mine.csv", stars(), extra="9,text,title,\n")
    assert "mine.csv row 65 (line 66) column 'stars' is missing" in refusal(tmp_path / "mine.csv")
    (tmp_path / "mine.tsv").write_text("text\tlabel\n")
    assert "is no .parquet, .csv, .jsonl file" in refusal(tmp_path / "mine.tsv")
    with pytest.raises(InputError, match="is packaged; its columns need no names"):
        load_task("sms-spam", text="review")


# Any text that a file can hold: no surrogates, and not the words that csv readers take for a missing value.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: text.strip() and text not in MISSING_MARKS
)


@given(st.lists(texts, min_size=1, max_size=8))
def test_any_text_survives_both_plain_formats(tmp_path_factory: pytest.TempPathFactory, many: list[str]) -> None:
    folder = tmp_path_factory.mktemp("round")
    data = [{"text": text, "label": "a"} for text in many]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["text", "label"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(data)
    (folder / "a.csv").write_bytes(out.getvalue().encode())
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in data), "utf-8")
    for raw in (read_csv(folder / "a.csv"), read_jsonl(folder / "a.jsonl")):
        assert list(raw.texts) == many
        assert raw.problems == ()


def test_the_task_folder_may_be_misspelt(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_task(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="Did you mean 'movie-reviews'"):
        load_task("movie-review")
    with pytest.raises(InputError, match="seed"):
        load_task("questions", seed=-1)


def test_a_task_is_what_the_contract_says(tmp_path: Path) -> None:
    task = load_task(str(make_folder(tmp_path)))
    assert isinstance(task, Task)
    assert task.n_classes == 2
    assert task.train.labels.dtype == "int64"
    assert len(task.fingerprint) == 64


def test_a_text_of_any_length_is_csv(tmp_path: Path) -> None:
    """The csv module refuses fields beyond 131,072 characters unless told otherwise; encoders cut them."""
    long = "word " * 40_000
    make_folder(tmp_path)
    write_csv(tmp_path / "train.csv", [*rows(N_TRAIN, "train"), {"text": long, "label": "ham"}])
    limit = csv.field_size_limit()
    assert load_task(str(tmp_path)).train.texts[-1].strip() == long.strip()
    assert csv.field_size_limit() == limit


def test_a_run_needs_as_many_rows_as_its_own_batch(tmp_path: Path) -> None:
    for split, n in (("train", 20), ("validation", N_HELD), ("test", N_HELD)):
        write_csv(tmp_path / f"{split}.csv", rows(n, split))
    assert len(configured_task(RunConfig(task=str(tmp_path))).train) == 20
    with pytest.raises(InputError, match="20 usable rows, fewer than one batch of 24"):
        configured_task(RunConfig(task=str(tmp_path), batch_size=24))
