"""Each page shows what it promises, on a store that is full, empty, or damaged."""

from __future__ import annotations

import os
import re
import shutil
from urllib.parse import quote

import pytest
from tests.explorer.readable_store import ReadableStore

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.app import create_app
from daydreaming_dagster.explorer.site import Site

PAGES = [
    "/",
    "/essays",
    "/maps",
    "/judges",
    "/failures",
    "/compare",
    "/search",
    "/rate",
    "/rate/essay?rater=A&rubric=novelty",
]


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_on_a_store_that_is_filled(filled: ReadableStore, address: str) -> None:
    answer = filled.get(address)
    assert answer.status == 200
    assert answer.text.count("<h1") == 1


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_before_anything_was_made(empty: ReadableStore, address: str) -> None:
    assert empty.get(address).status == 200


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_while_the_input_files_cannot_be_read(own: ReadableStore, address: str) -> None:
    own.paths.concepts_csv.write_text("nonsense\n")
    own.refresh()
    answer = own.get(address)
    assert answer.status in {200, 303}
    if answer.status == 200:
        assert "daydreaming doctor" in answer.shown


def test_an_empty_store_says_which_command_fills_it(empty: ReadableStore) -> None:
    assert "daydreaming run" in empty.get("/").shown


def test_the_first_page_shows_progress_and_cost_of_each_cohort(filled: ReadableStore) -> None:
    text = filled.get("/").text
    assert f'href="/cohort/{filled.cohort_id}"' in text
    assert f"${0.25 * len(filled.members):.2f}" in text
    assert "Everything is done." in text


def test_a_cohort_page_polls_while_something_is_missing_and_stops_when_all_is_done(own: ReadableStore) -> None:
    address = f"/cohort/{own.cohort_id}"
    assert "hx-get" not in own.get(address).text
    member = own.of(Stage.EVALUATION)[0]
    folder = own.paths.generation(member.stage, member.gen_id)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    own.refresh()
    assert f'hx-get="{address}?seen=' in own.get(address).text
    part = own.get(address, hx_request="true").text
    assert part.startswith('<div id="live"') and "<html" not in part


def test_failures_are_grouped_by_reason_with_the_command_that_mends_them(own: ReadableStore) -> None:
    lasting = {"reason": "parse_failed", "message": "no score found", "code": "no_score", "lasting": True}
    passing = {"reason": "rate_limited", "message": "too many requests", "code": "", "lasting": False}
    judged = own.of(Stage.EVALUATION)
    for member, failure in zip(judged, [lasting, lasting, passing], strict=False):
        folder = own.paths.generation(member.stage, member.gen_id)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        own.write(member, failure=failure)
    own.refresh()
    text = own.get(f"/failures?cohort={own.cohort_id}").shown
    assert text.index("parse_failed") < text.index("rate_limited")
    assert f"DD_COHORT={own.cohort_id} daydreaming run --retry parse_failed" in text
    assert "--retry rate_limited" not in text
    listed = own.get("/failures?reason=parse_failed").text
    assert judged[0].gen_id in listed and judged[2].gen_id not in listed.split("What happened")[1]


def list_rows(text: str) -> list[str]:
    return re.findall(r'data-row href="/generation/(e_\w+)', text)


def test_the_leaderboard_sorts_by_the_mean_of_the_rubric(filled: ReadableStore) -> None:
    text = filled.get("/essays?rubric=coherence").text
    shown = [float(score) for score in re.findall(r'data-name="Coherence"><span class="score">([\d.]+)', text)]
    assert len(shown) == len(filled.of(Stage.ESSAY))
    assert shown == sorted(shown, reverse=True)
    lowest = filled.get("/essays?rubric=coherence&sort=lowest").text
    assert set(list_rows(lowest)) == set(list_rows(text))


def test_replicates_of_a_judge_count_as_one_judge(own: ReadableStore) -> None:
    essay = own.of(Stage.ESSAY)[0].gen_id
    row = own.site.row("SELECT * FROM essay_score WHERE essay_gen_id = ? AND template_id = 'novelty'", (essay,))
    again = next(m for m in own.of(Stage.EVALUATION) if m.parent_gen_id == essay and m.template_id == "novelty")
    own.write(again._replace(gen_id="v_again1", replicate=2), place=7)
    own.refresh()
    after = own.site.row("SELECT * FROM essay_score WHERE essay_gen_id = ? AND template_id = 'novelty'", (essay,))
    assert row is not None and after is not None
    assert (after["n_judges"], after["n_ratings"]) == (row["n_judges"], row["n_ratings"] + 1)


def test_filters_narrow_the_list_and_stay_in_the_links(filled: ReadableStore) -> None:
    everything = list_rows(filled.get("/essays").text)
    narrowed = filled.get("/essays?essay_template=plain&concept=flywheel").text
    rows = list_rows(narrowed)
    assert 0 < len(rows) < len(everything)
    assert "essay_template=plain" in narrowed
    plain = {m.gen_id for m in filled.of(Stage.ESSAY) if m.template_id == "plain"}
    assert set(rows) <= plain


@pytest.mark.parametrize(
    "question",
    ["page=0", "page=-3", "page=9999999999999", "page=x", "sort=drop", "rubric=none", "at=x", "concept=" * 40],
)
def test_an_address_with_nonsense_in_it_is_no_error(filled: ReadableStore, question: str) -> None:
    assert filled.get(f"/essays?{question}").status in {200, 303}
    essay = filled.of(Stage.ESSAY)[0].gen_id
    assert filled.get(f"/generation/{essay}?{question}").status == 200


def test_the_reader_shows_draft_essay_and_every_evaluation_and_knows_its_neighbours(filled: ReadableStore) -> None:
    first, second, third = list_rows(filled.get("/essays?rubric=novelty").text)[:3]
    text = filled.get(f"/generation/{second}?rubric=novelty&at=1").text
    essay = next(member for member in filled.members if member.gen_id == second)
    places = {member.gen_id: place for place, member in enumerate(filled.members)}
    assert f"Word{places[second]} stands" in text
    assert f"Word{places[essay.parent_gen_id]} stands" in text
    judged = [member for member in filled.of(Stage.EVALUATION) if member.parent_gen_id == second]
    assert all(f"Because of reason {places[member.gen_id]}." in text for member in judged)
    assert re.search(rf'rel="prev" data-step href="/generation/{first}\?', text)
    assert re.search(rf'rel="next" data-step href="/generation/{third}\?', text)


@pytest.mark.parametrize("part", ["parsed", "raw", "prompt", "metadata", "versions", "lineage", "parsed/plain"])
def test_every_part_of_a_generation_has_an_address(filled: ReadableStore, part: str) -> None:
    for stage in Stage:
        assert filled.get(f"/generation/{filled.of(stage)[0].gen_id}/{part}").status == 200


def test_the_lineage_leads_from_concepts_to_evaluations(filled: ReadableStore) -> None:
    essay = filled.of(Stage.ESSAY)[0]
    text = filled.get(f"/generation/{essay.gen_id}/lineage").text
    judged = [member.gen_id for member in filled.of(Stage.EVALUATION) if member.parent_gen_id == essay.gen_id]
    for name in (essay.parent_gen_id, essay.gen_id, *judged):
        assert f'<a href="/generation/{name}"' in text
    assert "/essays?concept=" in text


def test_metadata_leads_to_dagster(filled: ReadableStore) -> None:
    essay = filled.of(Stage.ESSAY)[0].gen_id
    link = f"http://dagster.test/assets/essay_raw?view=partitions&amp;partition={essay}"
    assert link in filled.get(f"/generation/{essay}/metadata").text


def test_a_generation_that_is_not_made_yet_says_how_to_make_it(own: ReadableStore) -> None:
    member = own.of(Stage.EVALUATION)[0]
    folder = own.paths.generation(member.stage, member.gen_id)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    own.refresh()
    answer = own.get(f"/generation/{member.gen_id}")
    assert answer.status == 404
    assert f"DD_COHORT={own.cohort_id} daydreaming run" in answer.shown


def test_what_failed_says_why_and_how_to_mend_it_on_its_own_page(own: ReadableStore) -> None:
    failure = {"reason": "truncated", "message": "it ended at its limit", "code": "length", "lasting": True}
    for member in (own.of(Stage.ESSAY)[0], own.of(Stage.EVALUATION)[0]):
        own.write(member._replace(gen_id=f"{member.gen_id}x"), failure=failure)
        own.refresh()
        text = own.get(f"/generation/{member.gen_id}x").shown
        assert "it ended at its limit" in text
        assert "daydreaming run --retry truncated" in text


def test_commands_are_those_of_the_data_root_and_fit_for_a_shell(own: ReadableStore) -> None:
    own.close()
    site = Site(own.paths, {}, show_command=lambda words: f"daydreaming --data-root '/a b' {words}")
    own.app = create_app(site, refresh=False)
    assert site.command("run", cohort_id="two words") == "DD_COHORT='two words' daydreaming --data-root '/a b' run"
    essay = own.of(Stage.ESSAY)[0].gen_id
    assert f"daydreaming --data-root '/a b' show {essay}" in own.get(f"/generation/{essay}/metadata").shown
    site.close()


def test_what_is_missing_is_not_compared_with_something_else(own: ReadableStore) -> None:
    first, second = [member.gen_id for member in own.of(Stage.ESSAY)][:2]
    assert "There is no such version" in own.get(f"/compare?a={first}&av=9&b={second}").shown
    assert "There is no generation 'e_none' here" in own.get(f"/compare?a={first}&b=e_none").shown
    assert "They share" in own.get(f"/compare?a={first}&av=9&b={second}&part=prompt").shown


def test_only_what_has_a_score_is_said_to_be_worth_reading(own: ReadableStore) -> None:
    lonely = own.of(Stage.ESSAY)[0]._replace(gen_id="e_lonely")
    own.write(lonely, text="# Nobody judged this")
    for member in own.of(Stage.EVALUATION)[4:]:
        shutil.rmtree(own.paths.generation(member.stage, member.gen_id))
    own.refresh()
    assert "Nobody judged this" not in own.get("/").text
    assert "Nobody judged this" in own.get("/essays").text


def test_pages_of_progress_ask_often_while_something_changes(own: ReadableStore) -> None:
    assert "every 3s" in own.get("/").text
    shared = Site(own.paths, {})
    own.app = create_app(shared, refresh=False)
    shared.refresh()
    assert "every 6s" in own.get("/").text
    shared.close()


def test_a_page_of_progress_is_renewed_only_when_something_is_new(own: ReadableStore) -> None:
    for address in ("/", f"/cohort/{own.cohort_id}"):
        member = own.of(Stage.EVALUATION)[0]
        shutil.rmtree(own.paths.generation(member.stage, member.gen_id))
        own.refresh()
        found = re.search(r'hx-get="([^"]+)"', own.get(address).text)
        assert found is not None
        assert own.get(found[1], hx_request="true").status == 204
        own.write(member)
        own.refresh()
        answer = own.get(found[1], hx_request="true")
        assert answer.status == 200
        assert "<html" not in answer.text


def test_a_failure_in_several_cohorts_names_a_command_for_each(own: ReadableStore) -> None:
    failure = {"reason": "truncated", "message": "it ended at its limit", "code": "length", "lasting": True}
    member = own.of(Stage.EVALUATION)[0]
    shutil.rmtree(own.paths.generation(member.stage, member.gen_id))
    own.write(member, failure=failure)
    other = own.root.build("another")
    own.refresh()
    assert member.gen_id in {member.gen_id for member in other.members}
    text = own.get("/failures").shown
    for cohort in (own.cohort_id, "another"):
        assert f"DD_COHORT={cohort} daydreaming run --retry truncated" in text


def test_what_a_store_from_elsewhere_says_is_quoted_in_commands(own: ReadableStore) -> None:
    failure = {"reason": "x;echo y", "message": "made up", "code": "", "lasting": True}
    member = own.of(Stage.EVALUATION)[0]
    shutil.rmtree(own.paths.generation(member.stage, member.gen_id))
    own.write(member, failure=failure)
    own.refresh()
    assert "daydreaming run --retry 'x;echo y'" in own.get("/failures").shown


def test_a_filter_says_what_it_is_set_to_even_where_nothing_is_found(filled: ReadableStore) -> None:
    text = filled.get("/essays?model=nobody&rubric=unheard").text
    for value in ("nobody", "unheard"):
        assert f'<option value="{value}" selected>' in text


def test_two_versions_of_one_essay_are_compared_without_scores(own: ReadableStore) -> None:
    first, second = [member.gen_id for member in own.of(Stage.ESSAY)][:2]
    assert 'class="matrix"' in own.get(f"/compare?a={first}&b={second}").text
    assert 'class="matrix"' not in own.get(f"/compare?a={first}&b={first}&part=raw").text


def test_damaged_files_are_shown_as_such_and_break_no_page(own: ReadableStore) -> None:
    essay = own.of(Stage.ESSAY)[0]
    folder = own.paths.generation(essay.stage, essay.gen_id)
    (folder / "parsed.txt").write_bytes(b"\xff\xfe broken")
    (folder / "raw_metadata.json").write_text("{")
    own.age(essay)
    own.refresh()
    answer = own.get(f"/generation/{essay.gen_id}")
    assert answer.status == 200
    assert "is not UTF-8 text" in answer.text
    assert own.get("/essays?status=failed").text.count("data-row") == 1


def test_an_earlier_response_is_kept_and_compared_with_the_present_one(own: ReadableStore) -> None:
    essay = own.of(Stage.ESSAY)[0]
    own.root.store.write_response(essay.stage, essay.gen_id, "A badger dreams of moats.", {"call_id": "second"})
    own.age(essay)
    own.refresh()
    assert "Version 1" in own.get(f"/generation/{essay.gen_id}/versions").text
    text = own.get(f"/compare?a={essay.gen_id}&av=1&b={essay.gen_id}&part=raw").text
    assert "hedgehog" in text
    assert re.search(r"<ins>[^<]*badger", text)


def test_two_chosen_essays_are_compared_with_their_scores(filled: ReadableStore) -> None:
    first, second = [member.gen_id for member in filled.of(Stage.ESSAY)][:2]
    text = filled.get(f"/compare?pick={first}&pick={second}").text
    assert "of their words in the same order" in text
    assert "<del>" in text and "<ins>" in text
    assert "novelty" in text


def test_a_cell_of_the_concept_map_counts_the_essays_it_leads_to(filled: ReadableStore) -> None:
    text = filled.get("/maps?rubric=novelty").text
    cells = re.findall(r'<a href="(/essays\?[^"]*concept=[^"]*)">[\d.]+<small>(\d+)</small>', text)
    assert len(cells) == 9
    for address, count in cells[:4]:
        assert len(list_rows(filled.get(address.replace("&amp;", "&")).text)) == int(count)


def test_a_map_of_equal_means_says_so_and_shows_no_range(own: ReadableStore) -> None:
    for place, member in enumerate(own.of(Stage.EVALUATION)):
        score = "4.50001" if place % 2 else "4.5"
        own.root.store.folder(member.stage, member.gen_id).joinpath("parsed.txt").write_text(f"{score}\n")
        own.age(member)
    own.refresh()
    text = own.get("/maps?rubric=novelty").text
    assert text.count("All cells have the same mean, 4.5 points.") == 2
    assert 'class="ramp"' not in text
    assert set(re.findall(r"<td class=\"(heat-\d+)\"", text)) == {"heat-5"}


def test_the_judges_page_lists_judges_and_where_they_disagree(filled: ReadableStore) -> None:
    text = filled.get("/judges?rubric=novelty").text
    assert "strict" in text and "kind" in text
    assert "Disagreements worth reading" in text
    data = filled.get("/judges/scores.json?rubric=novelty").text
    assert '"judge":"strict"' in data


def test_search_finds_words_phrases_and_beginnings_and_shows_where(filled: ReadableStore) -> None:
    place = filled.members.index(filled.of(Stage.ESSAY)[0])
    text = filled.get(f"/search?q=word{place}").text
    assert f"<mark>Word{place}</mark>" in text
    assert filled.of(Stage.ESSAY)[0].gen_id in text
    assert "Nothing holds all" in filled.get("/search?q=%22moats+of+dreams%22").text
    assert "Nothing holds all" not in filled.get("/search?q=%22dreams+of+moats%22").text
    assert "hedgehog" in filled.get("/search?q=hedge*").text


def test_search_looks_into_prompts(filled: ReadableStore) -> None:
    text = filled.get(f"/search?q={quote('answer number 3')}&in=prompt").text
    assert filled.members[3].gen_id in text


@pytest.mark.parametrize(
    "question", ['"', "*", "AND", "NEAR(", "a:b", "-x", "'; DROP TABLE text", "(" * 200, "\x00", "🦔"]
)
def test_no_question_breaks_the_search(filled: ReadableStore, question: str) -> None:
    answer = filled.get(f"/search?q={quote(question)}")
    assert answer.status == 200
    assert "does not understand" not in answer.text


def test_a_whole_id_leads_to_its_page(filled: ReadableStore) -> None:
    essay = filled.of(Stage.ESSAY)[0].gen_id
    assert filled.get(f"/search?q={essay}").headers["location"] == f"/generation/{essay}"
    assert filled.get(f"/search?q={filled.cohort_id}").headers["location"] == f"/cohort/{filled.cohort_id}"


def test_what_is_unknown_is_404_with_a_way_out(filled: ReadableStore) -> None:
    for address in ("/nothing", "/generation/e_unknown", "/cohort/none", "/generation/..%2f..", "/static/none.js"):
        assert filled.get(address).status == 404
    essay = filled.of(Stage.ESSAY)[0].gen_id
    for address in (f"/generation/{essay}/nothing", f"/generation/{essay}/metadata/plain"):
        answer = filled.get(address)
        assert (answer.status, "A generation has no such" in answer.shown) == (404, True)


def test_a_store_that_cannot_be_written_to_is_shown_and_says_that_it_keeps_no_ratings(
    own: ReadableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.close()
    before = {path: path.stat().st_mtime_ns for path in own.paths.root.rglob("*")}
    monkeypatch.setattr(os, "access", lambda *_: False)
    shared = Site(own.paths, {})
    own.app = create_app(shared, refresh=False)
    shared.refresh()
    assert own.get("/search?q=hedgehog").text.count('class="hit"') > 0
    assert "ratings cannot be kept here" in own.get("/rate").text
    assert own.get("/rate/essay?rater=Ada&rubric=novelty").headers["location"].startswith("/rate?")
    shared.close()
    assert {path: path.stat().st_mtime_ns for path in own.paths.root.rglob("*")} == before
