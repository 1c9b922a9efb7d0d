"""Pages and cards: self-contained, escaped, and true to what the run folder holds."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sec_rl.errors import InputError, RunFolderError
from sec_rl.report.cells import headline, parity
from sec_rl.report.comparison_page import comparison_page, pareto_front
from sec_rl.report.differences import accuracy_gap, difference, differences
from sec_rl.report.latency_figure import latency_figures
from sec_rl.report.model_card import model_card
from sec_rl.report.run_page import write_report
from sec_rl.run_folder import read_result
from tests.made_up_runs import made_up_result, made_up_run

EVIL = "<script>alert('x')</script>"


class _Tags(HTMLParser):
    """Collects tags, ids, and everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data") and not (value or "").startswith("#"):
                self.fetched.append(value or "")


def _read(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    return tags


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of a run as made up."""
    return write_report(made_up_run(tmp_path_factory.mktemp("report") / "run")).read_text(encoding="utf-8")


def test_report_is_one_file_that_fetches_nothing(page: str) -> None:
    tags = _read(page)
    assert tags.tags.count("svg") == 6
    assert tags.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(tags.tags)
    assert "@import" not in page
    # Everything a plot refers to is in the page, once.
    assert len(tags.ids) == len(set(tags.ids))
    assert set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', page)) <= set(tags.ids)
    assert len(page) < 200_000


def test_report_follows_dark_and_light_and_narrow_screens(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    # Letters of the plots take the page's colour; a fixed black would vanish in the dark.
    assert "currentColor" in page
    assert "#010203" not in page


def test_report_shows_what_was_measured(page: str) -> None:
    for expected in ("6.0 times faster", "8.0 times smaller", "85.0 %", "30 % of the labels", "10.00 MB", "3 (gone)"):
        assert expected in page
    assert "sec-rl run --config run/config.toml --out run-again" in page
    # The tiles, what is left of all layers, where the time went, and how to read the trajectory.
    for expected in ("6.0x", "60.0 to 10.0 ms", "15 of 36 attention heads", "12.0 s", "trajectory.jsonl"):
        assert expected in page
    assert "Targets" not in page
    assert "busy or noisy" not in page


def test_report_says_when_the_clock_was_noisy(tmp_path: Path) -> None:
    settings = {"sequence_length": 32, "spread": {"artefact": 0.05, "dense": 0.4}, "spread_limit": 0.1}
    page = write_report(made_up_run(tmp_path / "run", latency_settings=settings)).read_text(encoding="utf-8")
    assert "busy or noisy" in page
    assert "up to 40 %" in page
    assert "Roughly 6.0 times faster" in page


def test_one_round_is_no_proof_of_a_quiet_machine() -> None:
    settings = {"sequence_length": 32, "rounds": 1, "spread": {"artefact": 0.0}, "spread_limit": 0.1}
    card = model_card(made_up_result(latency_settings=settings), ["a", "b"])
    assert "Roughly 6.0 times faster" in card
    assert "1 round" in card
    assert "1 round" in comparison_page({"a": made_up_result(latency_settings=settings)})
    assert "Roughly" not in model_card(made_up_result(), ["a", "b"])


def test_the_card_of_a_model_of_pairs_shows_both() -> None:
    line = 'sec-rl predict path/to/this/folder "a text to classify"'
    assert f"{line}\n" in model_card(made_up_result(), ["a", "b"])
    assert f"{line} --pair " in model_card(made_up_result(), ["a", "b"], pairs=True)


def test_texts_of_others_stay_texts(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run<u>", task=EVIL, encoder=EVIL, notes=[EVIL])
    pages = [
        write_report(folder).read_text(encoding="utf-8"),
        comparison_page({EVIL: made_up_result(task=EVIL)}),
    ]
    for page in pages:
        assert not {"script", "u"} & set(_read(page).tags)
        assert "&lt;script&gt;" in page
    flat = EVIL.replace("/", "")
    assert flat in model_card(made_up_result(task=flat), ["a|b", "c`d"])
    # A card is published; where its owner keeps things is not.
    card = model_card(made_up_result(task="/mnt/somebody/reviews", encoder="/mnt/somebody/bert"), ["a", "b"])
    assert "`bert` on `reviews`" in card
    assert "somebody" not in card
    assert "`a/b`, `c'd`" in model_card(made_up_result(), ["a|b", "c`d"])


def test_same_run_same_page(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_broken_folder_is_named(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    (folder / "trajectory.jsonl").write_text('{"segment": 0', encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"trajectory\.jsonl"):
        write_report(folder)


@pytest.mark.parametrize("key", ["test_accuracy", "size_bytes", "latency_ms", "dense", "source"])
def test_result_without_a_key_of_the_contract_is_refused(tmp_path: Path, key: str) -> None:
    result = made_up_result()
    del result[key]
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(RunFolderError, match=key):
        read_result(tmp_path)


@pytest.mark.parametrize(("key", "odd"), [("task", ["a"]), ("task_fingerprint", {"a": 1}), ("test_rows", 0)])
def test_result_of_odd_types_is_refused(tmp_path: Path, key: str, odd: Any) -> None:
    (tmp_path / "result.json").write_text(json.dumps(made_up_result() | {key: odd}), encoding="utf-8")
    with pytest.raises(RunFolderError, match=key):
        read_result(tmp_path)


def test_headline_names_the_points_lost() -> None:
    dense = made_up_result()["dense"] | {"test_accuracy": 0.862}
    assert "-1.2 points" in headline(made_up_result(dense=dense))
    assert "points" not in headline(made_up_result())


def test_measured_and_simulated_are_not_mixed() -> None:
    results = {"real": made_up_result(), "dreamt": made_up_result(source="simulated")}
    with pytest.raises(InputError, match="'dreamt' is simulated"):
        comparison_page(results)


def test_report_judges_every_target(tmp_path: Path) -> None:
    targets = [
        {"target": "target_speedup", "asked": 8.0, "reached": 6.0, "met": False},
        {"target": "max_accuracy_drop", "asked": 1.0, "reached": None, "met": False},
    ]
    shown = write_report(made_up_run(tmp_path / "run", targets=targets)).read_text(encoding="utf-8")
    assert "<td>target speedup</td><td>8</td><td>6</td><td>NOT met</td>" in shown
    assert "not measured" in shown


def test_latency_is_drawn_from_quartiles_where_there_are_any() -> None:
    assert all("up to the 95th" in caption for _, caption in latency_figures(made_up_result()))
    known = {"p05": 0.9, "p25": 0.95, "p50": 1.0, "p75": 1.2, "p95": 1.5}
    quantiles = {side: {"batch1": known, "batch32": known} for side in ("dense", "artefact")}
    drawn = latency_figures(made_up_result(latency_quantiles_ms=quantiles))
    assert all("middle half" in caption for _, caption in drawn)


def test_no_difference_is_said_and_a_difference_is_not_hidden() -> None:
    first = made_up_result()
    assert "no difference (" in difference(("a", "b"), first, made_up_result(test_accuracy=0.86))
    # 1,000 rows at 85 % have a standard error of 1.1 points each, 1.6 together: five points are a difference.
    ahead, half = accuracy_gap(first, made_up_result(test_accuracy=0.90)) or (0.0, 0.0)
    assert (round(ahead, 1), 2.8 < half < 3.1) == (5.0, True)
    better = difference(("a", "b"), first, made_up_result(test_accuracy=0.90, size_bytes=20_000_000))
    assert "b against a: accuracy +5.0 points [+2.1" in better
    assert "2.00 times the bytes" in better
    assert "no difference" not in better.split(";")[0]
    unknown = {key: value for key, value in first.items() if key != "test_rows"}
    assert "cannot be judged" in difference(("a", "b"), first, unknown)
    settings = first["latency_settings"] | {"threads": 1}
    assert "other machines or settings" in difference(("a", "b"), first, made_up_result(latency_settings=settings))


def test_runs_on_other_rows_are_not_told_apart() -> None:
    results = {"a": made_up_result(), "b": made_up_result(task_fingerprint="other"), "c": made_up_result()}
    (line,) = differences(results)
    assert line.startswith("c against a")


points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(points)
def test_front_holds_exactly_the_runs_that_nobody_beats(pairs: list[tuple[int, int]]) -> None:
    costs, gains = [float(c) for c, _ in pairs], [float(g) for _, g in pairs]
    front = pareto_front(costs, gains)
    assert front
    for index, (cost, gain) in enumerate(pairs):
        better = [(c, g) for c, g in pairs if (c < cost and g >= gain) or (c <= cost and g > gain)]
        assert (index in front) == (not better)


def test_the_card_and_the_terminal_say_how_far_the_exported_files_agree() -> None:
    result = made_up_result(same_labels=0.996, fp32={"test_accuracy": 0.852})
    said = "Parity: model.onnx and the PyTorch weights give the same label to 99.6 % of the test texts"
    assert said in str(parity(result))
    assert f"{said}, and are right in 85.0 % and 85.2 %." in model_card(result, ["no", "yes"])
    # Runs of earlier versions do not know.
    assert parity(made_up_result()) is None
    assert "Parity" not in model_card(made_up_result(), ["no", "yes"])
