"""Rating blind: what is shown, what is stored, what comes back."""

from __future__ import annotations

import re

import polars as pl
from pytest import MonkeyPatch
from tests.explorer.readable_store import ReadableStore
from tests.fakes.data_root import make_config

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.human_scores import read_human_scores
from daydreaming_dagster.experiments.result_tables import write_parsed_scores, write_rating_table, write_ratings_long
from daydreaming_dagster.explorer.human_panel import find_human_agreement
from daydreaming_dagster.store.cohort_files import read_cohort
from daydreaming_dagster.store.human_ratings import read_ratings


def next_essay(store: ReadableStore, rater: str = "Ada", rubric: str = "novelty") -> str | None:
    text = store.get(f"/rate/essay?rater={rater}&rubric={rubric}").text
    form = text.split("data-undo")[0]
    found = re.search(r'name="essay" value="(e_\w+)"', form)
    return found[1] if found else None


def rate(store: ReadableStore, essay: str, score: str = "5", **more: str) -> None:
    form = {"rater": "Ada", "rubric": "novelty", "cohort": "", "essay": essay, "score": score, "action": "rate", **more}
    assert store.post("/rate/essay", form).status == 303


def test_the_page_of_a_rater_tells_nothing_of_writer_template_or_scores(filled: ReadableStore) -> None:
    text = filled.get("/rate/essay?rater=Ada&rubric=novelty").text
    for secret in ("writer", "narrative", "strict", "kind", "notes", "judge"):
        assert secret not in text.split("<main")[1].split("The whole rubric")[0].lower()


def test_each_rating_is_stored_at_once_and_the_next_essay_comes(own: ReadableStore) -> None:
    seen: list[str] = []
    while (essay := next_essay(own)) is not None:
        rate(own, essay, str(len(seen)))
        seen.append(essay)
        assert len(read_ratings(own.paths).lines) == len(seen)
    assert sorted(seen) == sorted(member.gen_id for member in own.of(Stage.ESSAY))
    assert "Thank you" in own.get("/rate/essay?rater=Ada&rubric=novelty").text
    line = read_ratings(own.paths).lines[3]
    assert (line.rater, line.evaluation_template, line.score, line.essay_gen_id) == ("Ada", "novelty", 3.0, seen[3])
    assert line.rated_at.endswith("+00:00")


def test_two_raters_get_different_orders_and_each_their_own_every_time(own: ReadableStore) -> None:
    orders = {}
    for rater in ("Ada", "Bo", "Cy", "Di"):
        order = []
        while (essay := next_essay(own, rater)) is not None:
            assert next_essay(own, rater) == essay
            rate(own, essay, rater=rater)
            order.append(essay)
        orders[rater] = tuple(order)
    assert len(set(orders.values())) > 1


def test_a_rating_can_be_taken_back_and_an_essay_skipped(own: ReadableStore) -> None:
    first = next_essay(own)
    assert first is not None
    rate(own, first)
    rate(own, first, score="", action="undo")
    assert next_essay(own) == first
    rate(own, first, score="", action="skip")
    assert next_essay(own) != first
    assert len(read_ratings(own.paths).lines) == 3


def test_a_name_that_cannot_be_stored_is_refused_before_anything_is_rated(own: ReadableStore) -> None:
    place = own.get("/rate/essay?rater=%3Cb%3E&rubric=novelty").headers["location"]
    assert place.startswith("/rate?")
    assert "is not the name of a rater" in own.get(place).shown
    answer = own.get("/rate/pack.html?rater=%3Cb%3E&rubric=novelty")
    assert (answer.status, "is not the name of a rater" in answer.shown) == (400, True)


def test_a_rater_reads_the_rubric_and_not_its_code(own: ReadableStore) -> None:
    own.root.write_templates(Stage.EVALUATION, {"novelty": 'Judge: {{ response | replace("#", "") }} Well?'})
    own.refresh()
    for address in ("/rate/essay?rater=Ada&rubric=novelty", "/rate/pack.html?rater=Ada&rubric=novelty"):
        assert "Judge: [the essay] Well?" in own.get(address).shown


def test_what_is_not_a_score_is_not_stored(own: ReadableStore) -> None:
    essay = next_essay(own)
    assert essay is not None
    for score in ("", "99", "-1", "nan", "x"):
        rate(own, essay, score)
    rate(own, "e_unknown")
    rate(own, "../../etc")
    assert read_ratings(own.paths).lines == []
    assert next_essay(own) == essay


def test_an_export_is_imported_elsewhere_without_loss_and_only_once(own: ReadableStore, empty: ReadableStore) -> None:
    for score in ("3", "4"):
        essay = next_essay(own)
        assert essay is not None
        rate(own, essay, score, comment='a "quote", a comma\nand a line')
    table = own.get("/rate/ratings.csv").text
    assert "2 ratings added" in empty.get(empty.post("/rate/import", {"table": table}).headers["location"]).text
    assert read_ratings(empty.paths).lines == read_ratings(own.paths).lines
    again = empty.get(empty.post("/rate/import", {"table": table}).headers["location"]).text
    assert "0 ratings added, 2 were there already" in again


def test_a_table_with_mistakes_is_refused_as_a_whole_and_says_where(own: ReadableStore) -> None:
    table = "rater,essay_gen_id,evaluation_template,score\nAda,e_a,novelty,5\nAda,e_b,novelty,12\nAda,v_c,novelty,5\n"
    answer = own.post("/rate/import", {"table": table})
    assert answer.status == 400
    assert "line 3" in answer.text and "line 4" in answer.text and "line 2" not in answer.text
    assert read_ratings(own.paths).lines == []
    assert "column" in own.post("/rate/import", {"table": "a,b\n"}).text


def test_a_pack_holds_the_essays_and_nothing_that_tells_who_wrote_them(own: ReadableStore) -> None:
    answer = own.get("/rate/pack.html?rater=Bo&rubric=novelty&n=3")
    assert answer.headers["content-disposition"].startswith("attachment")
    text = answer.text
    assert text.count("data-essay hidden") == 3
    for secret in ("narrative", "writer", "maker", "http:", "https:"):
        assert secret not in text
    assert "default-src 'none'" in text


def test_people_become_rows_of_the_score_table(own: ReadableStore) -> None:
    essay = next_essay(own)
    assert essay is not None
    rate(own, essay, "2")
    rate(own, essay, "7")
    cohort = read_cohort(own.paths, own.cohort_id)
    table = read_human_scores(own.paths, cohort, own.root.read_catalogue())
    assert table.height == 1
    row = table.row(0, named=True)
    assert (row["evaluation_llm_model"], row["score"], row["error"]) == ("human:Ada", 7.0, None)
    assert (row["parent_gen_id"], row["generation_model"], row["draft_template"]) == (essay, "writer", "notes")


def test_the_judges_page_sets_people_beside_models(own: ReadableStore) -> None:
    for rater in ("Ada", "Bo"):
        while (essay := next_essay(own, rater)) is not None:
            rate(own, essay, str(len(essay) % 5 + int(essay[-1], 36) % 4), rater=rater)
    text = own.get("/judges?rubric=novelty").text
    assert "agreement of people (α)" in text
    assert "Ada 6" in text and "Bo 6" in text
    assert "6 essays have ratings of both kinds" in text


def test_people_have_no_part_in_the_ranking_unless_asked_for(own: ReadableStore, monkeypatch: MonkeyPatch) -> None:
    for essay in own.of(Stage.ESSAY):
        rate(own, essay.gen_id, "9")
    workspace = Workspace(own.paths, make_config())
    write_parsed_scores(workspace)
    assert "human:Ada" in set(write_ratings_long(workspace).table["judge_model"])
    assert "human:Ada" in set(write_rating_table(workspace, "rating_health").table["judge_model"])
    novelty = pl.col("construct") == "novelty"
    alone = write_rating_table(workspace, "ranking").table.filter(novelty)
    monkeypatch.setenv("DD_PEOPLE_JUDGE", "true")
    together = write_rating_table(workspace, "ranking").table.filter(novelty)
    assert alone["raw_mean"].max() < together["raw_mean"].max()


def test_what_people_would_give_is_estimated_for_each_arm_that_they_rated_enough_of(own: ReadableStore) -> None:
    drafts = [own.of(Stage.DRAFT)[0]._replace(gen_id=f"d_{n:02}", combo_id=f"combo-{n}") for n in range(10)]
    for draft in drafts:
        own.write(draft)
    essay, judged = own.of(Stage.ESSAY)[0], own.of(Stage.EVALUATION)[0]
    for place, draft in enumerate(drafts * 4):
        made = {"parent_gen_id": draft.gen_id, "combo_id": draft.combo_id, "llm_model_id": "prolific"}
        own.write(essay._replace(gen_id=f"e_arm{place:02}", **made))
        own.write(judged._replace(gen_id=f"v_arm{place:02}", parent_gen_id=f"e_arm{place:02}"), place=place)
    own.refresh()
    for place in range(24):
        rate(own, f"e_arm{place:02}", str(place % 8), rubric=judged.template_id)
    found = find_human_agreement(own.site, judged.template_id)
    assert found is not None
    powered = {(arm["axis"], arm["name"]): arm["powered"] for arm in found["arms"]}["model", "prolific"]
    assert (powered.n_rated, powered.n_others) == (24, 16)
    # Rated or not, the models gave each score equally often: there is nothing to correct, but less to be unsure of.
    assert abs(powered.estimate - 3.5) < 1e-9
    assert powered.high - powered.low < powered.plain_high - powered.plain_low
    assert "prolific" in own.get(f"/judges?rubric={judged.template_id}").text


def test_an_arm_with_few_ratings_says_how_many_are_needed(own: ReadableStore) -> None:
    essay = next_essay(own)
    assert essay is not None
    rate(own, essay)
    found = find_human_agreement(own.site, "novelty")
    assert found is not None
    assert {(arm["n_rated"], arm["powered"]) for arm in found["arms"]} == {(1, None)}
    assert "too few: 20 essays of 8 combinations" in own.get("/judges?rubric=novelty").text
