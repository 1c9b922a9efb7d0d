"""Tables that grow: what was taken before is kept, what is taken again is replaced, what differs is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sittings
from benchmarks.options import Options, parse_options
from sec_rl.errors import InputError

MADE_WITH = {"passes": 3000, "preferences": {"fast": 0.1}}


def options_of(tmp_path: Path, *words: str) -> Options:
    results = ["--results", str(tmp_path)]
    return parse_options("some", "", tasks=(), switches=sittings.SWITCHES, arguments=[*words, *results])


def rows_of(*places: tuple[str, int], utility: float = 1.0) -> list[dict[str, Any]]:
    methods = ("policy", "cubic")
    return [
        {"task": task, "seed": seed, "method": method, "utility": utility}
        for task, seed in places
        for method in methods
    ]


def sit(options: Options, rows: list[dict[str, Any]], made_with: dict[str, Any] = MADE_WITH) -> dict[str, Any]:
    """Take rows as a benchmark does, and return what it would write."""
    before = sittings.earlier(options, made_with)
    whole, both, taken = sittings.joined(options, before, (rows, sittings.today(options, rows, made_with)))
    content = {"command": whole.command, "rows": both, "sittings": sittings.as_json(taken)}
    (options.results / f"{options.name}.json").write_text(json.dumps(content))
    return content | {"options": whole, "notes": sittings.notes_on(taken)}


def test_a_table_grows_by_seeds_and_tasks(tmp_path: Path) -> None:
    first = sit(options_of(tmp_path, "--seeds", "0"), rows_of(("mrpc", 0), ("sst2", 0)))
    assert first["notes"] == []
    sit(options_of(tmp_path, "--seeds", "1", "--add"), rows_of(("sst2", 1)))
    last = sit(options_of(tmp_path, "--seeds", "1", "--add"), rows_of(("mrpc", 1), ("trec6", 1)))
    places = [("mrpc", 0), ("sst2", 0), ("mrpc", 1), ("sst2", 1), ("trec6", 1)]
    assert sittings.places_of(last["rows"]) == places
    assert len(last["rows"]) == 2 * len(places)
    assert (last["options"].tasks, last["options"].seeds) == (("mrpc", "sst2", "trec6"), (0, 1))
    # Every command that made a part of it stands above the table.
    assert len(last["command"].splitlines()) == 3
    assert [note.split(":")[0] for note in last["notes"]] == [
        "mrpc, seed 0; sst2, seed 0",
        "sst2, seed 1",
        "mrpc, seed 1; trec6, seed 1",
    ]


def test_what_is_taken_again_replaces_what_was_there(tmp_path: Path) -> None:
    sit(options_of(tmp_path), rows_of(("mrpc", 0), ("sst2", 0)))
    last = sit(options_of(tmp_path, "--add"), rows_of(("mrpc", 0), ("sst2", 0), utility=2.0))
    assert [row["utility"] for row in last["rows"]] == [2.0] * 4
    assert len(last["sittings"]) == 1


def test_without_the_switch_a_table_begins_anew(tmp_path: Path) -> None:
    sit(options_of(tmp_path), rows_of(("mrpc", 0)))
    assert sittings.places_of(sit(options_of(tmp_path), rows_of(("sst2", 0)))["rows"]) == [("sst2", 0)]


def test_what_cannot_be_added_to_is_refused(tmp_path: Path) -> None:
    sit(options_of(tmp_path), rows_of(("mrpc", 0)))
    adding = options_of(tmp_path, "--add")
    with pytest.raises(InputError, match="passes 3000, and this is 4000"):
        sittings.earlier(adding, MADE_WITH | {"passes": 4000})
    path = tmp_path / "some.json"
    whole = path.read_text()
    for damaged in (whole[: len(whole) // 2], json.dumps({"rows": []}), json.dumps({"rows": [], "sittings": [{}]})):
        path.write_text(damaged)
        with pytest.raises(InputError, match="leave out --add"):
            sittings.earlier(adding, MADE_WITH)
