"""A person at the explorer: every page is looked at, and every task is done, in a real browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import NARROW, SCREENSHOTS, WIDE, Served

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.human_ratings import read_ratings

pytestmark = pytest.mark.slow
NewPage = Callable[..., Page]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
MODES = [("wide", "light"), ("wide", "dark"), ("narrow", "light"), ("narrow", "dark")]
HOSTILE = (
    '# <script>window.hacked=1</script> \u202egnp.tluser\n\n<img src=x onerror="window.hacked=1">\n\n'
    "[go](javascript:window.hacked=1) ![i](https://elsewhere.test/i.png) \x00\x1b[31m "
    "<svg onload=window.hacked=1> </pre></div></main></body>\n\n" + "אבג " * 20 + "\n\n"
)
WIDE_TEXT = (
    "# On widths\n\nLet $p_i$ be small.\n\n"
    + "".join(f"| {' | '.join([cell] * 9)} |\n" for cell in ("quantity", "---", "0.0004 of everything"))
    + "\n```python\n"
    + "result = [rate(first, second) for first, second in pairs] " * 3
    + "\n```\n\n"
    + "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk" * 2
)


def list_addresses(served: Served) -> dict[str, str]:
    store = served.store
    first, second = [member.gen_id for member in store.of(Stage.ESSAY)][:2]
    return {
        "overview": "/",
        "cohort": f"/cohort/{store.cohort_id}",
        "essays": "/essays",
        "reader": f"/generation/{first}?at=0",
        "draft": f"/generation/{store.of(Stage.DRAFT)[0].gen_id}",
        "evaluation": f"/generation/{store.of(Stage.EVALUATION)[0].gen_id}",
        "prompt": f"/generation/{first}/prompt",
        "metadata": f"/generation/{first}/metadata",
        "versions": f"/generation/{first}/versions",
        "lineage": f"/generation/{first}/lineage",
        "compare": f"/compare?a={first}&b={second}",
        "maps": "/maps",
        "judges": "/judges",
        "failures": "/failures?reason=parse_failed",
        "search": "/search?q=hedgehog",
        "rate": "/rate",
        "rating": "/rate/essay?rater=Ada&rubric=novelty",
        "missing": "/generation/e_none",
    }


def check_accessibility(page: Page) -> list[str]:
    """What axe finds on a page and does not call minor, as sentences."""
    # As an init script it would be forbidden by the page's own policy; an evaluated one is the test's, not the page's.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("""
        axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations.map((violation) => [
            violation.impact,
            violation.id,
            violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 120) + node.failureSummary).join(" | "),
        ]))
    """)
    return [f"{name}: {nodes}" for impact, name, nodes in found if impact != "minor"]


@pytest.mark.parametrize(("width", "scheme"), MODES)
def test_every_page_fits_its_screen_and_hinders_nobody(
    served: Served, new_page: NewPage, width: str, scheme: str
) -> None:
    failure = {"reason": "parse_failed", "message": "no score was found", "code": "no_score", "lasting": True}
    judged = served.store.of(Stage.EVALUATION)[5]
    served.store.write(judged._replace(gen_id="v_failed"), failure=failure)
    served.store.refresh()
    page = new_page(WIDE if width == "wide" else NARROW, scheme)
    problems: dict[str, object] = {}
    SCREENSHOTS.mkdir(exist_ok=True)
    for name, address in list_addresses(served).items():
        page.goto(address, wait_until="networkidle")
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if too_wide > 0:
            problems[f"{name} width"] = too_wide
        if found := check_accessibility(page):
            problems[name] = found
    assert problems == {}


@pytest.mark.parametrize(("width", "scheme"), MODES)
def test_what_is_opened_and_what_is_wider_than_the_screen_hinders_nobody(
    served: Served, new_page: NewPage, width: str, scheme: str
) -> None:
    essay = served.store.of(Stage.ESSAY)[0]
    served.store.write(essay, text=WIDE_TEXT)
    served.store.refresh()
    page = new_page(WIDE if width == "wide" else NARROW, scheme)
    problems: dict[str, object] = {}
    for address in (f"/generation/{essay.gen_id}", "/rate", "/essays", "/rate/essay?rater=Ada&rubric=novelty"):
        page.goto(address, wait_until="networkidle")
        page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        if found := check_accessibility(page):
            problems[address] = found
    page.goto(f"/generation/{essay.gen_id}")
    page.screenshot(path=SCREENSHOTS / f"wide-text-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"keys-{width}-{scheme}.png")
    problems |= {"dialog": found} if (found := check_accessibility(page)) else {}
    assert problems == {}


def test_the_check_finds_what_hinders(served: Served, new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input><img src=\"data:,\">')")
    assert {problem.split(":")[0] for problem in check_accessibility(page)} == {"image-alt", "label"}


def test_find_the_best_essay_read_why_compare_rate_five_blind_and_export(served: Served, new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    page.get_by_role("link", name="Essays", exact=True).click()
    page.locator("select[name=rubric]").select_option("coherence")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("rubric=coherence"))
    page.locator("a[data-row]").first.click()
    expect(page.get_by_role("heading", name="Evaluations")).to_be_visible()
    expect(page.locator("details.verdict[open]")).to_contain_text("Because of reason")
    page.locator("details.verdict").nth(1).locator("summary").click()
    expect(page.locator("details.verdict").nth(1)).to_contain_text("SCORE")

    page.go_back()
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    expect(boxes.nth(2)).to_be_disabled()
    page.get_by_role("button", name="Compare the two").click()
    expect(page.get_by_text("of their words in the same order")).to_be_visible()
    expect(page.locator("ins").first).to_be_visible()

    page.get_by_role("link", name="Rate", exact=True).click()
    page.get_by_label("Your name").first.fill("Ada")
    page.get_by_role("button", name="Start").click()
    for number in range(5):
        expect(page.get_by_text(f"{number} rated, {6 - number} to go")).to_be_visible()
        page.keyboard.press(str(number + 2))
        page.keyboard.press("Enter")
    expect(page.get_by_text("5 rated, 1 to go")).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_text("4 rated, 2 to go")).to_be_visible()
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("5 rated, 1 to go")).to_be_visible()

    page.goto("/rate")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [row["score"] for row in table] == ["2.0", "3.0", "4.0", "5.0", "7.0"]
    assert {row["rater"] for row in table} == {"Ada"}


def test_the_list_and_the_reader_are_walked_through_by_keys(served: Served, new_page: NewPage) -> None:
    page = new_page()
    page.goto("/essays")
    rows = [row.get_attribute("href") or "" for row in page.locator("a[data-row]").all()]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(served.address + rows[0])
    page.keyboard.press("j")
    expect(page).to_have_url(served.address + rows[1])
    page.keyboard.press("k")
    expect(page).to_have_url(served.address + rows[0])
    page.keyboard.press("u")
    expect(page.get_by_role("heading", name="Essays", exact=True)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("hedgehog j")
    expect(page.locator("input[data-search]")).to_have_value("hedgehog j")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_cohort_page_grows_while_generations_arrive(served: Served, new_page: NewPage) -> None:
    store = served.store
    members = store.of(Stage.EVALUATION)[:3]
    for member in members:
        folder = store.paths.generation(member.stage, member.gen_id)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    store.refresh()
    page = new_page()
    page.clock.install()
    page.goto(f"/cohort/{store.cohort_id}")
    total = len(store.members)
    expect(page.get_by_text(f"{total - 3} of {total} generations are done")).to_be_visible()
    page.get_by_role("link", name="All essays of this cohort").focus()
    for member in members:
        store.write(member)
    store.refresh()
    page.clock.run_for(11_000)
    expect(page.get_by_text(f"{total} of {total} generations are done")).to_be_visible()
    expect(page.get_by_role("link", name="All essays of this cohort")).to_be_focused()


def test_a_drawing_and_its_library_wait_until_they_come_into_sight(served: Served, new_page: NewPage) -> None:
    page = new_page(NARROW)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/essays", wait_until="networkidle")
    assert not [url for url in asked if "vega" in url]
    page.locator("[data-plot]").scroll_into_view_if_needed()
    expect(page.locator("[data-plot] svg")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "drawing.png")


def test_a_link_to_one_evaluation_opens_it(served: Served, new_page: NewPage) -> None:
    page = new_page()
    judged = served.store.of(Stage.EVALUATION)
    essay = judged[0].parent_gen_id
    last = [member.gen_id for member in judged if member.parent_gen_id == essay][-1]
    page.goto(f"/generation/{essay}")
    expect(page.locator(f"details#{last}[open]")).to_have_count(0)
    page.goto(f"/generation/{essay}#{last}")
    expect(page.locator(f"details#{last}[open]")).to_contain_text("Because of reason")


def test_a_shortened_id_is_copied_whole(served: Served, new_page: NewPage) -> None:
    page = new_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    essay = served.store.of(Stage.ESSAY)[0].gen_id
    page.goto(f"/generation/{essay}/metadata")
    page.get_by_role("button", name=f"Copy {essay}").click()
    expect(page.locator(".copy.done")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == essay


def test_whatever_is_reached_by_the_tab_key_shows_that_it_is(served: Served, new_page: NewPage) -> None:
    page = new_page()
    for address in ("/essays", "/rate/essay?rater=Ada&rubric=novelty"):
        page.goto(address)
        for _ in range(25):
            page.keyboard.press("Tab")
            ring = page.evaluate("""() => {
                const at = document.activeElement, seen = at.matches(".scale input") ? at.nextElementSibling : at;
                const style = getComputedStyle(seen);
                return at === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1);
            }""")
            assert ring, page.evaluate("document.activeElement.outerHTML")


def test_the_theme_is_chosen_and_stays_chosen(served: Served, new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Use the dark theme").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.goto("/essays")
    assert page.evaluate(paper) == dark


def test_hostile_texts_do_nothing(served: Served, new_page: NewPage) -> None:
    store = served.store
    essay, judged = store.of(Stage.ESSAY)[0], store.of(Stage.EVALUATION)[0]
    store.write(essay._replace(gen_id="e_hostile", template_id="<b onclick=x>"), text=HOSTILE)
    store.write(judged._replace(gen_id="v_hostile", parent_gen_id="e_hostile"), text=HOSTILE + "SCORE: 3")
    store.write(essay._replace(gen_id="e_long"), text="longest " * 640_000)
    store.refresh()
    page = new_page()
    for address in (
        *("/essays", "/generation/e_hostile", "/generation/e_hostile/raw", "/generation/e_hostile/lineage"),
        *("/generation/v_hostile", "/search?q=gnp", "/generation/e_long", "/generation/e_long/raw"),
        f"/compare?a=e_hostile&b={essay.gen_id}",
    ):
        page.goto(address, wait_until="networkidle")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main script, main iframe").count() == 0
        assert page.locator("footer").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.goto("/generation/e_hostile")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "hostile.png", full_page=True)


def test_everything_can_be_read_and_rated_without_javascript(served: Served, new_page: NewPage) -> None:
    page = new_page(javascript=False)
    for address in list_addresses(served).values():
        page.goto(address)
        expect(page.locator("h1")).to_be_visible()
    page.goto("/rate/essay?rater=Bo&rubric=novelty")
    page.locator("input[value='6']").check(force=True)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("1 rated, 5 to go")).to_be_visible()
    assert [line.score for line in read_ratings(served.store.paths).lines] == [6.0]


def test_an_offline_pack_is_rated_without_the_server_and_comes_back(
    served: Served, new_page: NewPage, tmp_path: Path
) -> None:
    pack = tmp_path / "pack.html"
    with urlopen(f"{served.address}/rate/pack.html?rater=Cy&rubric=novelty&n=3") as answer:
        pack.write_bytes(answer.read())
    page = new_page()
    page.goto(pack.as_uri())
    expect(page.get_by_text("Essay 1 of 3")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "pack.png")
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Essay 2 of 3")).to_be_visible()
    page.keyboard.press("8")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the table").click()
    page.goto("/rate")
    page.locator("textarea[name=table]").fill(Path(download.value.path()).read_text(encoding="utf-8"))
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("2 ratings added")).to_be_visible()
    lines = read_ratings(served.store.paths).lines
    assert [(line.rater, line.score, line.source) for line in lines] == [("Cy", 4.0, "pack"), ("Cy", 8.0, "pack")]


def test_two_raters_in_two_browsers_lose_nothing(served: Served, new_page: NewPage) -> None:
    pages = {name: new_page() for name in ("Ada", "Bo")}
    for name, page in pages.items():
        page.goto(f"/rate/essay?rater={name}&rubric=coherence")
    for number in range(6):
        for page in pages.values():
            page.keyboard.press(str(number))
            page.keyboard.press("Enter")
        for page in pages.values():
            left = 5 - number
            expect(page.get_by_text(f"{left} to go" if left else "Thank you")).to_be_visible()
    assert len(read_ratings(served.store.paths).current()) == 12
