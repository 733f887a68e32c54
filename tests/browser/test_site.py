"""The pages of problems and studies in Chromium: widths, themes, headings, accessibility."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from leaderboard.model.section import Page
from leaderboard.model.table import Evidence
from leaderboard.render.pages import render_html
from leaderboard.studies import solvers
from tests.browser.conftest import RESULTS
from tests.browser.test_front_page import AXE, WIDTHS, serious


@pytest.fixture(scope="session")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed solver timings with its plots, the largest of a study."""
    (section,) = solvers.sections(Evidence([], results=RESULTS))
    folder = tmp_path_factory.mktemp("site")
    for chart in section.figures:
        (folder / chart.path).parent.mkdir(exist_ok=True)
        (folder / chart.path).write_bytes(chart.svg)
    path = folder / "study-solvers.html"
    page = Page("study-solvers", section.heading, "", (section,))
    path.write_text(render_html(page, [(section.heading, path.name)]), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_a_study_is_fit_to_read(chromium: Any, study_page: Path, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(study_page.as_uri())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    headings = page.locator("h1, h2").all_inner_texts()
    assert headings == [solvers.HEADING], "the title is said once, and systems are folded"
    assert len(page.locator("details").all()) > len(solvers.RULES)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert serious(page) == []
    context.close()


def test_a_phone_finds_a_row_in_a_few_swipes(chromium: Any, study_page: Path) -> None:
    """Systems are folds of a few lines each; an open one scrolls within, by its first column."""
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(study_page.as_uri())
    systems = page.locator("details")
    reach = systems.last.evaluate("one => one.getBoundingClientRect().bottom + scrollY")
    assert reach < 3 * 800
    systems.first.locator("summary").tap()
    table = systems.first.locator(".scroll").first
    name = table.locator("tbody th").first
    before = name.bounding_box()["x"]
    table.evaluate("one => one.scrollLeft = 300")
    assert table.evaluate("one => one.scrollLeft") == 300
    assert name.bounding_box()["x"] == pytest.approx(before, abs=1)
    assert table.bounding_box()["height"] < 2 * 800
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_a_link_into_a_fold_opens_it(chromium: Any, study_page: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(study_page.as_uri())
    slug = page.locator("details .body").nth(1).get_attribute("id")
    page.goto(f"{study_page.as_uri()}#{slug}")
    assert page.locator("details[open]").count() == 1
    assert page.locator(f"#{slug}").is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_are_dark_in_dark_mode(chromium: Any, study_page: Path, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme, viewport={"width": 1024, "height": 900})
    page = context.new_page()
    page.goto(study_page.as_uri())
    page.evaluate("document.images[0].loading = 'eager'")
    page.evaluate("document.images[0].decode()")
    shot = page.locator("img").first.screenshot()
    context.close()
    brightness = imread(io.BytesIO(shot))[..., :3].mean(axis=2)
    ground, (darkest, brightest) = np.median(brightness), np.quantile(brightness, (0.001, 0.999))
    if scheme == "dark":
        assert ground < 0.2
        assert brightest > 0.7, "and its words are bright"
        assert (brightness > 0.95).mean() < 0.01
    else:
        assert ground > 0.9
        assert darkest < 0.4
