"""The report opens in a browser: nothing is fetched, nothing runs, nothing sticks out, in light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tests.experiments.rated_root import RatedRoot, spread

from daydreaming_dagster.experiments.report import write_report
from daydreaming_dagster.experiments.report_plots import PLOTS

pytestmark = pytest.mark.slow
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
HOSTILE = (
    "</blockquote><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">" + "x" * 400
)


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = RatedRoot(tmp_path_factory.mktemp("reported"))
    root.write_concepts([f"concept-{number}" for number in range(5)])
    root.write_models(writers=["writer"], judges=["judge", "other-judge"])
    root.run(spread, essay=lambda _: HOSTILE, cohort="mine")
    return write_report(root.workspace()).html


def open_report(browser: Browser, path: Path, scheme: str, size: tuple[int, int]) -> tuple[Page, list[str], list[str]]:
    context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    return page, asked, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_and_stays_within_the_window(browser: Browser, page_path: Path, scheme: str, size: str) -> None:
    page, asked, said = open_report(browser, page_path, scheme, SIZES[size])
    assert page.title() == "DayDreaming report: cohort mine"
    assert asked == [page_path.as_uri()]
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pictures = page.evaluate("[...document.images].map(image => [image.alt, image.naturalWidth])")
    items = page.evaluate("[...document.querySelectorAll('li')].map(item => item.innerText)")
    without_data = sum("No picture: " in item for item in items)
    assert len(pictures) > without_data
    assert len(pictures) + without_data == len(PLOTS)
    assert all(alt and width > 100 for alt, width in pictures)
    page.context.close()


def test_every_table_has_a_caption_and_heads_and_every_link_leads_somewhere(browser: Browser, page_path: Path) -> None:
    page, _, _ = open_report(browser, page_path, "light", SIZES["wide"])
    assert page.evaluate(
        "[...document.querySelectorAll('table')].every(t => t.caption && t.querySelector('th[scope]'))"
    )
    targets = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert targets
    assert all(page.evaluate("id => !!document.getElementById(id)", target[1:]) for target in targets)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))
    page.context.close()
