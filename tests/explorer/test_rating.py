"""Rating blind: what is shown, what is stored, what comes back."""

from __future__ import annotations

import re

from tests.explorer.readable_store import ReadableStore

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.human_scores import read_human_scores
from daydreaming_dagster.store.cohorts import read_cohort
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
    assert "2 ratings added" in empty_message(empty.post("/rate/import", {"table": table}).headers["location"])
    assert read_ratings(empty.paths).lines == read_ratings(own.paths).lines
    again = empty.post("/rate/import", {"table": table}).headers["location"]
    assert "0 ratings added, 2 were there already" in empty_message(again)


def empty_message(location: str) -> str:
    from urllib.parse import parse_qs, urlsplit

    return parse_qs(urlsplit(location).query)["message"][0]


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
    assert "α among people" in text
    assert "Ada 6" in text and "Bo 6" in text
    assert "6 essays have ratings of both kinds" in text
