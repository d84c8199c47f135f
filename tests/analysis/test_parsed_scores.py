from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.analysis.parsed_scores import (
    PARSED_SCORES_SCHEMA,
    select_valid_scores,
)

from .score_tables import evaluation, scores_of


def test_no_evaluations_give_a_header_with_the_right_types() -> None:
    table = scores_of()
    assert table.height == 0
    assert dict(table.schema) == PARSED_SCORES_SCHEMA


def test_the_columns_are_those_of_the_format_in_its_order() -> None:
    assert ",".join(PARSED_SCORES_SCHEMA) == (
        "gen_id,parent_gen_id,evaluation_template,evaluation_llm_model,score,error,evaluation_response_path,combo_id,"
        "draft_template,generation_template,generation_model,generation_response_path,origin_cohort_id,input_mode,"
        "copied_from,cohort_id,draft_gen_id,replicate,scale_min,scale_max,experiment_id"
    )


@pytest.mark.parametrize("number", [0.0, 6.25, 7.5, 9.0])
def test_a_number_on_the_scale_is_the_score(number: float) -> None:
    (row,) = scores_of(evaluation("v_1", "e_1", number)).to_dicts()
    assert (row["score"], row["error"]) == (number, None)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (None, "parsed_missing"),
        (math.nan, "score_not_finite"),
        (-math.inf, "score_not_finite"),
        (9.1, "score_off_scale"),
        (-1.0, "score_off_scale"),
    ],
)
def test_what_is_no_score_is_a_row_that_names_the_error(number: float | None, error: str) -> None:
    (row,) = scores_of(evaluation("v_1", "e_1", number)).to_dicts()
    assert (row["score"], row["error"]) == (None, error)


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"error": "truncated"}, "truncated"),
        ({"error": "score_no_number"}, "score_no_number"),
        ({"scale_max": None}, "scale_unknown"),
        ({"evaluation_template": None}, "evaluator_unknown"),
        ({"evaluation_llm_model": None}, "evaluator_unknown"),
    ],
)
def test_a_record_that_cannot_be_placed_has_no_score(facts: dict[str, object], error: str) -> None:
    (row,) = scores_of(evaluation("v_1", "e_1", 7, **facts)).to_dicts()
    assert (row["score"], row["error"]) == (None, error)


def test_a_corrupt_generation_is_one_row_and_leaves_the_others_alone() -> None:
    corrupt = {"gen_id": "v_2", "number": 7.0}
    table = scores_of(evaluation("v_1", "e_1", 7), corrupt, evaluation("v_3", "e_1", 8))
    assert table["gen_id"].to_list() == ["v_1", "v_2", "v_3"]
    assert table["score"].to_list() == [7.0, None, 8.0]
    assert table["error"].to_list() == [None, "parent_unknown", None]


@given(st.lists(st.none() | st.floats(), max_size=20))
def test_every_row_has_either_a_finite_score_on_the_scale_or_an_error(numbers: list[float | None]) -> None:
    table = scores_of(*(evaluation(f"v_{i}", "e_1", number) for i, number in enumerate(numbers)))
    assert table.height == len(numbers)
    for score, error in table.select("score", "error").rows():
        assert (score is None) == (error is not None)
        assert score is None or (math.isfinite(score) and 0 <= score <= 9)


def test_an_evaluation_listed_by_two_cohorts_counts_once() -> None:
    once = evaluation("v_1", "e_1", 7)
    again = evaluation("v_1", "e_1", 7, cohort_id="cohort-2")
    failed = evaluation("v_2", "e_1", None)
    valid = select_valid_scores(pl.concat([scores_of(once, failed), scores_of(again)]))
    assert valid["gen_id"].to_list() == ["v_1"]
