"""Pictures of a run's pages, as README and documentation show them."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from PIL import Image

from benchmarks.browser import DESKTOP, PHONE, Browser, Scheme, open_browser
from benchmarks.console import exit_with, say
from sec_rl.errors import InputError

# Page -> how many of its plots the small picture shows.
_PAGES = {"report.html": 4, "comparison.html": 2}
_SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_WIDTH, _SCALE, _COLOURS = 960, 1.5, 128


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__, allow_abbrev=False)
    found.add_argument("run", type=Path, help="folder of a finished run; make demo leaves runs/demo")
    found.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the pictures")
    found.add_argument("--all", action="store_true", help="whole pages too: light and dark, at desk and phone width")
    return found


def main() -> int:
    """Take the pictures."""
    options = parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = {name: n_plots for name, n_plots in _PAGES.items() if (options.run / name).is_file()}
    if not found:
        raise InputError(f"{str(options.run)!r} holds none of {', '.join(_PAGES)}.")
    with open_browser() as browser:
        for name, n_plots in found.items():
            page, picture = options.run / name, options.out / Path(name).with_suffix(".png")
            _head(browser, page, picture, n_plots)
            if options.all:
                for scheme, width in product(_SCHEMES, (DESKTOP, PHONE)):
                    _whole(browser, page, picture.with_stem(f"{picture.stem}-{scheme}-{width}"), width, scheme)
    return 0


def _head(browser: Browser, page: Path, picture: Path, n_plots: int) -> None:
    """Take the head of a page, down to the end of its first plots; few colours keep the file small."""
    with browser.show(page, width=_WIDTH, scheme="light", scale=_SCALE) as shown:
        bottom = shown.evaluate(f"document.querySelectorAll('figure')[{n_plots - 1}].getBoundingClientRect().bottom")
        clip = {"x": 0, "y": 0, "width": _WIDTH, "height": bottom + 16}
        shown.page.screenshot(path=picture, full_page=True, clip=clip)
    with Image.open(picture) as taken:
        taken.convert("RGB").quantize(_COLOURS).save(picture, optimize=True)
    _tell(picture)


def _whole(browser: Browser, page: Path, picture: Path, width: int, scheme: Scheme) -> None:
    with browser.show(page, width=width, scheme=scheme) as shown:
        shown.page.screenshot(path=picture, full_page=True)
    _tell(picture)


def _tell(picture: Path) -> None:
    say(f"{picture} ({picture.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    exit_with(main)
