"""The front page and the pages of studies in Chromium: widths, themes, keyboard, accessibility."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from leaderboard.export import View, bibtex, export
from leaderboard.model.numbers import arithmetic, measured
from leaderboard.model.section import Page
from leaderboard.model.table import Evidence
from leaderboard.overview.overview import Overview
from leaderboard.render.pages import render_html
from leaderboard.studies import solvers
from tests.browser.conftest import RESULTS, Open

# The front page: widths, keyboard, address, exports, accessibility.


AXE = Path(__file__).parent / "vendor" / "axe.min.js"
WIDTHS = (360, 390, 1024, 1440)
#: The page's first state as the command has it.
AT_FIRST = View(filters=("verdict=exact,proved",), useful=True, by="method")
SERIOUS = {"serious", "critical"}


def lines(page: Any) -> list[str]:
    """The table's lines, without the folds, as they are read."""
    return page.locator("#board tr.line").all_inner_texts()


def words(texts: list[str]) -> list[str]:
    """The texts without the arrow of what unfolds, and with single spaces."""
    return [" ".join(re.sub("[▸▾]", "", text).split()) for text in texts]


def column(page: Any, key: str) -> list[str]:
    return page.locator(f"#board tr.line .c-{key}").all_inner_texts()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.parametrize("widths", [WIDTHS[:2], WIDTHS[2:]])
def test_nothing_scrolls_sideways(visit: Open, widths: tuple[int, ...]) -> None:
    """Neither the page nor the table, folded and unfolded, with every row there is."""
    with visit("#useful=false&verdict=", width=widths[0]) as page:
        for view in ("methods", "rows"):
            page.locator(f"[data-view={view}]").click()
            page.locator("#board .open").first.click()
            page.locator("#board .open").last.click()
            for width in widths:
                page.set_viewport_size({"width": width, "height": 900})
                wide = page.evaluate(
                    "[document.documentElement, document.querySelector('.scroll')]"
                    ".map(one => one.scrollWidth - one.clientWidth)"
                )
                assert wide == [0, 0]
                shown = page.locator("#board > thead th:visible").count()
                assert shown == 4 if width < 500 else shown > 6


def test_a_phone_pins_the_first_column_and_unfolds_the_rest(visit: Open) -> None:
    with visit(width=360, has_touch=True) as page:
        heads = page.locator("#board > thead th:visible").all_inner_texts()
        assert [head.split("\n")[0] for head in heads] == [
            "Method",
            "Verdict",
            "Test gap",
            "Speed-up",
        ]
        first = page.locator("#board tr.line .c-method").first
        assert first.evaluate("one => getComputedStyle(one).position") == "sticky"
        page.locator("#board .open").first.tap()
        assert page.locator(".fold .r-epsilon").is_visible()
        assert page.locator(".fold .r-problems").inner_text().startswith("Problems")


def test_without_scripts_the_same_table_stands_there(visit: Open) -> None:
    with visit() as page:
        drawn = words(lines(page))
    with visit(java_script_enabled=False) as page:
        written = words(lines(page))
        assert not page.locator(".controls").is_visible()
        page.locator(".fold summary").first.click()
        assert "lethe reproduce" in page.locator(".fold code").first.inner_text()
    assert written == drawn
    assert len(drawn) > 10


def test_the_table_is_sorted_by_keyboard(visit: Open) -> None:
    with visit() as page:
        for key in ("speedup", "gap", "method", "pays"):
            page.locator(f"#board [data-sort={key}]").focus()
            press(page, "Enter")
            head = page.locator(f"#board th[data-key={key}]")
            once = head.get_attribute("aria-sort")
            press(page, "Enter")
            assert {once, head.get_attribute("aria-sort")} == {"ascending", "descending"}
            focused = page.evaluate("document.activeElement.dataset.sort")
            assert focused == key
        page.locator("#board [data-sort=speedup]").focus()
        press(page, "Enter")
        first = page.locator("#board tbody").first.locator("tr.line td.c-speedup")
        speeds = [float(text.split()[0]) for text in first.all_inner_texts()]
        assert speeds == sorted(speeds, reverse=True)


def test_what_has_no_value_is_last_whichever_way_the_table_is_sorted(visit: Open) -> None:
    with visit("#useful=false&verdict=&request=random&sort=epsilon.asc") as page:
        for _ in range(2):
            found = page.locator("#board tbody").first.locator("td.c-epsilon").all_inner_texts()
            values = [text == "–" for text in found]
            assert values == sorted(values)
            assert True in values
            page.locator("#board [data-sort=epsilon]").press("Enter")


def test_filters_and_search_are_worked_by_keyboard(visit: Open) -> None:
    with visit() as page:
        before = len(lines(page))
        page.locator("[data-filter-key=data][value=MNIST]").focus()
        press(page, "Space")
        assert page.evaluate("document.activeElement.value") == "MNIST"
        assert "data=MNIST" in page.url
        assert len(lines(page)) < before
        page.locator("#search").focus()
        page.keyboard.type("chord newton hog")
        assert {text.split("\n")[0] for text in column(page, "method")} == {"Chord Newton"}
        assert page.evaluate("document.activeElement.id") == "search"
        press(page, "Tab", "Tab", "Enter")
        assert "view=rows" in page.url
        problems = column(page, "problem")
        assert problems
        assert all("HOG" in problem for problem in problems)


def test_a_filter_that_leaves_nothing_offers_every_row(visit: Open) -> None:
    with visit("#q=bad+teacher") as page:
        assert lines(page) == []
        page.locator("[data-do=all]").click()
        assert lines(page)


def test_the_address_keeps_the_state_and_a_link_restores_it(visit: Open) -> None:
    with visit() as page:
        page.locator("[data-view=rows]").click()
        page.locator("[data-filter-key=verdict][value=exact]").click()
        page.locator("#useful").click()
        page.locator("#search").fill("mnist")
        page.locator("[data-sort=gap]").click()
        page.locator("#board .open").nth(1).click()
        page.locator("#board [data-pick]").nth(0).check()
        address, shown = page.url, page.locator("#board").inner_text()
        picked = page.locator("#picked").inner_text()
    with visit("#" + address.split("#")[1]) as page:
        assert page.locator("#board").inner_text() == shown
        assert page.locator("#picked").inner_text() == picked
        assert page.locator("#search").input_value() == "mnist"
        assert page.locator("#useful").get_attribute("aria-pressed") == "false"
        assert page.url == address


def test_a_link_to_a_row_opens_it_in_sight(visit: Open) -> None:
    row = "mnist-hog/newton-chord"
    with visit(f"#view=rows&open={row}") as page:
        opened = page.locator(f'[data-open="{row}"]')
        assert opened.get_attribute("aria-expanded") == "true"
        assert page.evaluate("document.activeElement.dataset.open") == row
        assert opened.evaluate("one => one.getBoundingClientRect().top") < 900
        fold = page.locator(".fold").inner_text()
        for part in ("Theorem", "Constants", f"results/{row}/seed-0.json", "Needs"):
            assert part in fold
        linked = page.locator(".fold a[href^=site]").get_attribute("href")
        assert linked == "site/mnist-hog.html#row-newton-chord"


def test_a_card_filters_the_table_to_its_answer(visit: Open) -> None:
    with visit() as page:
        card = page.locator(".card").filter(has_text="Linear head").first
        answer = card.locator(".answer").inner_text().split("\n")[0]
        card.locator("a").focus()
        press(page, "Enter")
        assert column(page, "method")[0].startswith(answer)
        assert page.locator("#board .fold").count() == 1
        assert page.locator("#board tbody").first.inner_text().startswith("Linear head")


def test_rows_are_compared_by_keyboard(visit: Open) -> None:
    with visit("#view=rows&q=mnist+hog+100+random&data=MNIST&useful=false&verdict=") as page:
        for place in range(5):
            page.locator("#board [data-pick]").nth(place).focus()
            press(page, "Space")
        assert page.locator("#picked").inner_text() == "4 picked"
        page.locator("#compare").focus()
        press(page, "Enter")
        table = page.locator("dialog table")
        assert table.locator("thead th").count() == 4
        assert "seed pairs, 1 problem" in table.inner_text()
        assert "±" in table.locator("tbody tr").first.inner_text()
        press(page, "Escape")
        assert not page.locator("dialog").is_visible()


def test_a_comparison_has_the_intervals_of_paired_differences(visit: Open, found: Overview) -> None:
    """Against the same numbers by Python, for the two Newtons of one problem."""
    rows = {row.row.label: row for row in found.rows if row.anchor.startswith("mnist-hog/")}
    ours, theirs = (rows[x].values("accuracy_test_gap") for x in ("newton", "newton-measured"))
    difference = arithmetic([theirs[seed] - ours[seed] for seed in ours])
    expected = " ± ".join(measured(difference.mean, difference.spread, signed=True))
    address = "#view=rows&verdict=&pick=mnist-hog/newton,mnist-hog/newton-measured"
    with visit(address) as page:
        page.locator("#compare").click()
        assert expected in page.locator("dialog tbody tr").first.inner_text()


def test_exports_are_two_keys_away_and_the_same_as_of_the_command(
    visit: Open, found: Overview
) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with visit(permissions=permissions) as page:
        for kind in ("latex", "bibtex", "csv"):
            page.locator(f"[data-export={kind}]").focus()
            press(page, "Enter", "Enter")  # the dialog's first button copies
            page.get_by_role("button", name="Copied").wait_for()
            copied = page.evaluate("navigator.clipboard.readText()")
            press(page, "Escape")
            if kind == "latex":
                assert copied == export(found, AT_FIRST, "latex")
            elif kind == "bibtex":
                assert copied == bibtex(found, AT_FIRST)
            else:
                table = list(csv.DictReader(io.StringIO(copied)))
                assert len(table) == len(lines(page))
                assert {"track", "method", "speedup"} <= table[0].keys()


def test_terms_are_explained_at_the_focus(visit: Open) -> None:
    with visit() as page:
        page.locator("[data-sort=pays]").focus()
        assert "won back" in page.locator("#tip").inner_text()
        press(page, "Escape")
        assert not page.locator("#tip").is_visible()
        page.locator(".badge.proved").first.hover()
        assert "word for word" in page.locator("#tip").inner_text()


def test_the_plot_shares_the_filters_and_leads_to_the_row(visit: Open) -> None:
    with visit() as page:
        every = page.locator("#plot [data-point]").count()
        page.locator("[data-filter-key=model][value=linear-squared]").click()
        assert 0 < page.locator("#plot [data-point]").count() < every
        page.locator("#plot [data-point]").last.click(force=True)
        assert page.locator("#board .fold").count() == 1


def test_the_theme_changes_and_the_plot_with_it(visit: Open) -> None:
    ground = "getComputedStyle(document.querySelector('#plot')).backgroundColor"
    with visit(color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.locator("#theme").press("Enter")
        light = page.evaluate(ground)
        assert (light, dark == light) == ("rgb(255, 255, 255)", False)
        page.reload()
        assert page.evaluate(ground) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_serious_finding(visit: Open, scheme: str) -> None:
    """As the page opens, and with everything open that opens, a dialog last."""
    with visit(color_scheme=scheme) as page:
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert serious(page, scheme) == []
        page.goto(page.url + "#useful=false&verdict=&data=CIFAR-10")
        page.locator("#board .open").first.click()
        for place in range(2):
            page.locator("#board [data-pick]").nth(place).check()
        for one in page.locator("details > summary:visible").all():
            one.click()
        assert serious(page, scheme) == []
        page.locator("#compare").click()
        assert serious(page, scheme) == []


def serious(page: Any, scheme: str) -> list[str]:
    """What axe finds; of the dark page its colours, in which alone it differs from the light."""
    of_colours = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    options = {"resultTypes": ["violations"]}
    options |= {"runOnly": of_colours} if scheme == "dark" else {}
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{one['id']}: {node['target']}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


def test_it_prints_on_three_pages(visit: Open) -> None:
    with visit(color_scheme="dark") as page:
        printed = page.pdf(format="A4")
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 3


# The pages of problems and studies: widths, themes, headings, accessibility.


@pytest.fixture(scope="session")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed solver timings with its plots, the largest of a study."""
    (section,) = solvers.sections(Evidence([], results=RESULTS))
    folder = tmp_path_factory.mktemp("site")
    for chart in section.figures:
        (folder / chart.path).parent.mkdir(exist_ok=True)
        committed = RESULTS.parent / chart.path
        drawn = committed.read_bytes() if committed.exists() else None
        (folder / chart.path).write_bytes(drawn if chart.is_in(drawn) else chart.svg)
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
    assert serious(page, scheme) == []
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
