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
from sec_rl.files import append_line
from sec_rl.report.cells import headline
from sec_rl.report.comparison_page import comparison_page, pareto_front
from sec_rl.report.model_card import model_card
from sec_rl.report.run_page import write_report
from sec_rl.run_folder import TRAJECTORY, read_result, write_config, write_result

EVIL = "<script>alert('x')</script>"


def made_up_result(**changes: Any) -> dict[str, Any]:
    """Return a result with every key of the contract."""
    latency = {"batch1": {"p50": 1.0, "p95": 1.5}, "batch32": {"p50": 10.0, "p95": 12.0}}
    slow = {"batch1": {"p50": 4.0, "p95": 5.0}, "batch32": {"p50": 60.0, "p95": 70.0}}
    unknown = dict.fromkeys(
        ("test_accuracy", "validation_accuracy", "perplexity", "label_fraction", "example_passes", "train_seconds")
    )
    result = {
        "source": "measured",
        "task": "movie-reviews",
        "encoder": "minilm-l6",
        "schedule": "cubic",
        "seed": 0,
        "test_accuracy": 0.85,
        "validation_accuracy": 0.86,
        "perplexity": None,
        "label_fraction": 0.3,
        "example_passes": 9600,
        "train_seconds": 100.0,
        "parameters": 12_000_000,
        "size_bytes": 10_000_000,
        "latency_ms": latency,
        "latency_settings": {"sequence_length": 32, "spread": {"artefact": 0.05}, "spread_limit": 0.1},
        "machine": {"cpu": "a processor", "threads": 2, "versions": {"sec_rl": "0.1.0"}},
        "notes": [],
        "dense": unknown | {"parameters": 22_000_000, "size_bytes": 80_000_000, "latency_ms": slow},
    }
    return result | changes


def made_up_run(folder: Path, n_segments: int = 4, **changes: Any) -> Path:
    """Write a run folder as a run would, without its model."""
    folder.mkdir()
    write_config(folder, {"task": "movie-reviews", "seed": 0})
    for segment in range(n_segments + 1):
        metrics = {
            "data_ratio": 0.3 if segment else 0.0,
            "compression_ratio": 0.1 * segment,
            "validation_accuracy": 0.5 + 0.08 * segment,
            "size_ratio": 0.2 - 0.02 * segment,
            "latency_ratio": 1.0 - 0.1 * segment,
        }
        left = {"heads": [12, 3, 0], "ffn": [1536, 400, 0], "dense_heads": 12, "dense_ffn": 1536}
        append_line(folder / TRAJECTORY, {"segment": segment, "metrics": metrics, "structure": left})
    write_result(folder, made_up_result(**changes))
    return folder


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


def test_report_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    page = write_report(made_up_run(tmp_path / "run")).read_text(encoding="utf-8")
    tags = _read(page)
    assert tags.tags.count("svg") == 3
    assert tags.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(tags.tags)
    assert "@import" not in page
    # Everything a plot refers to is in the page, once.
    assert len(tags.ids) == len(set(tags.ids))
    assert set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', page)) <= set(tags.ids)
    assert len(page) < 200_000


def test_report_follows_dark_and_light_and_narrow_screens(tmp_path: Path) -> None:
    page = write_report(made_up_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    # Letters of the plots take the page's colour; a fixed black would vanish in the dark.
    assert "currentColor" in page
    assert "#010203" not in page


def test_report_shows_what_was_measured(tmp_path: Path) -> None:
    page = write_report(made_up_run(tmp_path / "run")).read_text(encoding="utf-8")
    for expected in ("6.0 times faster", "8.0 times smaller", "85.0 %", "30 % of the labels", "10.00 MB", "3 (gone)"):
        assert expected in page
    assert "sec-rl run --config run/config.toml --out run-again" in page
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


def test_texts_of_others_stay_texts(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run<b>", task=EVIL, encoder=EVIL, notes=[EVIL])
    pages = [
        write_report(folder).read_text(encoding="utf-8"),
        comparison_page({EVIL: made_up_result(task=EVIL)}),
    ]
    for page in pages:
        assert not {"script", "b"} & set(_read(page).tags)
        assert "&lt;script&gt;" in page
    assert EVIL in model_card(made_up_result(task=EVIL), ["a|b", "c`d"])
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


def test_headline_names_the_points_lost() -> None:
    dense = made_up_result()["dense"] | {"test_accuracy": 0.862}
    assert "-1.2 points" in headline(made_up_result(dense=dense))
    assert "points" not in headline(made_up_result())


def test_measured_and_simulated_are_not_mixed() -> None:
    results = {"real": made_up_result(), "dreamt": made_up_result(source="simulated")}
    with pytest.raises(InputError, match="'dreamt' is simulated"):
        comparison_page(results)


points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(points)
def test_front_holds_exactly_the_runs_that_nobody_beats(pairs: list[tuple[int, int]]) -> None:
    costs, gains = [float(c) for c, _ in pairs], [float(g) for _, g in pairs]
    front = pareto_front(costs, gains)
    assert front
    for index, (cost, gain) in enumerate(pairs):
        better = [(c, g) for c, g in pairs if (c < cost and g >= gain) or (c <= cost and g > gain)]
        assert (index in front) == (not better)
