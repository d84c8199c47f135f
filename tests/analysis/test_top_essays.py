"""Which essays come first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.analysis.score_tables import evaluation, scores_of

from daydreaming_dagster.analysis.top_essays import TOP_ESSAYS_SCHEMA, select_top_essays

SCORES = scores_of(
    evaluation("v_1", "e_good", 8, evaluation_llm_model="judge-a"),
    evaluation("v_2", "e_good", 6, evaluation_llm_model="judge-b"),
    evaluation("v_3", "e_best", 9),
    evaluation("v_4", "e_bad", 2),
    evaluation("v_5", "e_unread", None, error="parse_failed"),
    evaluation("v_6", "e_other", 9, evaluation_template="coherence"),
)


def test_essays_are_ranked_by_the_mean_of_the_rubrics_that_count() -> None:
    top = select_top_essays(SCORES, ["novelty"], top_n=10)
    assert top["parent_gen_id"].to_list() == ["e_best", "e_good", "e_bad"]
    assert top["score"].to_list() == [9.0, 7.0, 2.0]
    assert top.row(1, named=True)["n"] == 2
    assert top.row(1, named=True)["judges"] == 2
    assert dict(top.schema) == dict(TOP_ESSAYS_SCHEMA)


def test_a_lost_replicate_does_not_tip_the_mean() -> None:
    mild, strict = {"evaluation_llm_model": "mild"}, {"evaluation_llm_model": "strict"}
    scores = scores_of(
        *(evaluation(f"v_{n}", "e_whole", 8, replicate=n, **mild) for n in (1, 2)),
        *(evaluation(f"v_{n + 2}", "e_whole", 4, replicate=n, **strict) for n in (1, 2)),
        *(evaluation(f"v_{n + 4}", "e_part", 8, replicate=n, **mild) for n in (1, 2)),
        evaluation("v_7", "e_part", 4, **strict),
        evaluation("v_8", "e_part", None, error="parse_failed", replicate=2, **strict),
    )
    top = select_top_essays(scores, ["novelty"], top_n=10)
    assert top.select("parent_gen_id", "score", "n", "judges").rows() == [("e_whole", 6.0, 4, 2), ("e_part", 6.0, 3, 2)]


def test_a_span_leaves_out_what_lies_further_below_the_best() -> None:
    assert select_top_essays(SCORES, ["novelty"], 10, score_span=2)["parent_gen_id"].to_list() == ["e_best", "e_good"]
    assert select_top_essays(SCORES, ["novelty"], 10, score_span=0)["parent_gen_id"].to_list() == ["e_best"]


def test_no_usable_score_gives_an_empty_table() -> None:
    assert select_top_essays(SCORES, ["usefulness"], 3).is_empty()


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5), st.one_of(st.none(), st.floats(0, 9)))
def test_never_more_than_asked_for_and_never_a_worse_one_before_a_better_one(
    values: list[int], top_n: int, span: float | None
) -> None:
    scores = scores_of(*(evaluation(f"v_{i}", f"e_{i}", value) for i, value in enumerate(values)))
    top = select_top_essays(scores, ["novelty"], top_n, span)["score"].to_list()
    assert len(top) <= top_n
    assert top == sorted(top, reverse=True)
    assert top[:1] == sorted(values, reverse=True)[:1]
