"""Pages in a real headless browser: no complaint, everything visible, readable on a telephone, dark and light."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import DESKTOP, PHONE, Browser, Scheme, Shown, open_browser
from sec_rl.errors import MissingDependencyError
from sec_rl.report.comparison_page import comparison_page
from sec_rl.report.record import read_run
from sec_rl.report.run_page import write_report
from tests.made_up_runs import made_up_run

pytestmark = pytest.mark.browser
VIEWS = [pytest.param(w, s, id=f"{w} px, {s}") for w, s in product((DESKTOP, PHONE), ("light", "dark"))]
# The width and the height of everything that is drawn.
_BOXES = """[...document.querySelectorAll('svg, .tile, .heads i, .shares')].map(e => {
  const box = e.getBoundingClientRect(); return [e.tagName, box.width, box.height, box.left, box.right]; })"""
_COLOURS = """(() => { const s = getComputedStyle(document.body);
  const text = getComputedStyle(document.querySelector('svg text')).fill;
  return [s.color, s.backgroundColor, text].map(c => c.match(/[0-9.]+/g).slice(0, 3).map(Number)); })()"""
# The smallest letters of all plots, in CSS pixels as they are shown.
_SMALLEST = """Math.min(...[...document.querySelectorAll('svg text')]
  .filter(t => t.textContent.trim()).map(t => t.getBoundingClientRect())
  .map(box => Math.min(box.width, box.height)).filter(x => x > 0))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser once."""
    try:
        with open_browser() as opened:
            yield opened
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a report and a comparison; one run's name and notes are as long as they get."""
    root = tmp_path_factory.mktemp("pages")
    quiet = made_up_run(root / "run")
    long = made_up_run(root / ("a-name-without-end-" * 6), notes=["unbroken" * 40], task="movie-reviews")
    records = {folder.name: read_run(folder) for folder in (quiet, long)}
    comparison = root / "comparison.html"
    comparison.write_text(
        comparison_page(
            {name: record.result for name, record in records.items()},
            {name: record.segments for name, record in records.items()},
        ),
        encoding="utf-8",
    )
    return {"report": write_report(quiet), "long": write_report(long), "comparison": comparison}


@pytest.mark.parametrize("name", ["report", "long", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_is_whole(browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: Scheme) -> None:
    with browser.show(pages[name], width=width, scheme=scheme) as shown:
        assert shown.complaints == []
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        boxes = shown.evaluate(_BOXES)
        plots = [box for box in boxes if box[0] == "svg"]
        assert len(plots) == 6
        assert all(box[1] >= min(300, width - 40) and box[2] >= 80 for box in plots)
        assert all(box[1] > 0 and box[2] > 0 and box[3] >= 0 and box[4] <= width for box in boxes)
        # A plot is drawn wide enough for its letters: about 8 px high at the least.
        assert shown.evaluate(_SMALLEST) >= 5.0
        _check_colours(shown, scheme)


def _check_colours(shown: Shown, scheme: Scheme) -> None:
    ink, paper, letters = shown.evaluate(_COLOURS)
    assert _contrast(ink, paper) >= 7.0
    assert _contrast(letters, paper) >= 7.0
    assert (sum(paper) < sum(ink)) == (scheme == "dark")


def _contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast ratio of two colours (WCAG 2, relative luminance)."""
    values = sorted(_luminance(colour) for colour in (one, other))
    return (values[1] + 0.05) / (values[0] + 0.05)


def _luminance(colour: list[float]) -> float:
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_broken_page_is_noticed(browser: Browser, tmp_path: Path) -> None:
    """What the test above looks for is found where it is."""
    page = tmp_path / "broken.html"
    page.write_text(
        "<!doctype html><script>console.error('broken')</script><svg width='0' height='0'></svg>"
        "<img src='nowhere.png'><div style='width:500px'>wide</div>",
        encoding="utf-8",
    )
    with browser.show(page, width=PHONE, scheme="dark") as shown:
        said: Any = " ".join(shown.complaints)
        assert "broken" in said
        assert "nowhere.png" in said
        assert shown.evaluate("document.documentElement.scrollWidth") > PHONE
        assert shown.evaluate(_BOXES)[0][1] == 0
