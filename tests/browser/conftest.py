"""The front page of the committed records, and Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from leaderboard.export import read
from leaderboard.front.front import render_front
from leaderboard.model.section import Section
from leaderboard.overview.overview import Overview

RESULTS = Path(__file__).parents[2] / "leaderboard" / "results"
#: What Debian and others call it.
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 10_000  # milliseconds for anything in the page

#: Opens the page: its address after the file's name, and a new context's options.
Open = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="session")
def found() -> Overview:
    """The overview of the committed records."""
    return read(RESULTS)


@pytest.fixture(scope="session")
def front_page(found: Overview, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a file; what it links to is not there, and there are no questions."""
    text = render_front(found, Section("answers", "Answers"), found.problems(), "results")
    path = tmp_path_factory.mktemp("front") / "index.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser; the tests are skipped where there is none, and fail in CI."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None and os.environ.get("CI"):
        pytest.fail("CI must have Chromium: see `make chromium`")
    if program is None:
        pytest.skip("there is no Chromium: `make chromium` installs it")
    if os.environ.get("CI"):  # an ImportError there is a failure
        from playwright import sync_api as playwright
    else:
        reason = "playwright is not installed"
        playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, front_page: Path) -> Open:
    """Open the page; at the end nothing may stand on the console, nor be asked of a network."""

    @contextmanager
    def visit(address: str = "", width: int = 1440, **options: Any) -> Iterator[Any]:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(_PATIENCE)
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(front_page.as_uri() + address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html.ready", state="attached")
        yield page
        context.close()
        assert said == []
        assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()

    return visit
