"""A headless Chromium, where one is installed, to see pages as people do."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sec_rl.errors import MissingDependencyError

Scheme = Literal["light", "dark"]
PHONE, DESKTOP = 390, 1100
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@dataclass
class Shown:
    """A page as the browser shows it.

    Attributes:
        page: Playwright's page.
        complaints: what the console said, and what the page tried to fetch from elsewhere.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)

    def note_request(self, url: str, own: str) -> None:
        """Complain of everything that is fetched but the page itself."""
        if url != own:
            self.complaints.append(f"fetched {url}")

    def evaluate(self, script: str) -> Any:
        """Return what a script finds in the page, JSON-ready."""
        return self.page.evaluate(script)


@dataclass(frozen=True)
class Browser:
    """A running browser."""

    chromium: Any

    @contextlib.contextmanager
    def show(self, file: Path, *, width: int, scheme: Scheme, scale: float = 1.0) -> Iterator[Shown]:
        """Open a file from disk.

        Args:
            file: HTML.
            width: of the window, in CSS pixels.
            scheme: what the reader prefers.
            scale: device pixels per CSS pixel.
        """
        size = {"width": width, "height": 800}
        context = self.chromium.new_context(viewport=size, color_scheme=scheme, device_scale_factor=scale)
        try:
            shown = Shown(context.new_page())
            address = file.resolve().as_uri()
            shown.page.on("console", lambda message: shown.complaints.append(message.text))
            shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
            shown.page.on("request", lambda request: shown.note_request(request.url, address))
            shown.page.goto(address)
            yield shown
        finally:
            context.close()


def chromium_path() -> str | None:
    """Return the Chromium to use: `SEC_RL_BROWSER`, or one on the path; None: there is none."""
    return os.environ.get("SEC_RL_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a headless Chromium.

    Raises:
        MissingDependencyError: Playwright or Chromium is not installed.
    """
    path = chromium_path()
    if path is None:
        raise MissingDependencyError(
            "No Chromium: install one (Debian: chromium-headless-shell), or name its file in SEC_RL_BROWSER."
        )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingDependencyError("Playwright is not installed; run: pip install '.[browser]'") from error
    with sync_playwright() as playwright:
        # In a container there is no sandbox for root; the pages are our own and may fetch nothing.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
