from __future__ import annotations

import polars as pl
import pytest

from daydreaming_dagster.analysis.pivots import (
    build_evaluation_model_template_pivot,
    build_evaluation_scores_by_template_model,
    build_generation_scores_pivot,
    build_template_version_comparison_pivot,
)

from .score_tables import evaluation, scores_of


def worked_example() -> pl.DataFrame:
    """Two essays; judge-a judged the first twice, judge-b failed on the second."""
    second = {"combo_id": "combo-2", "generation_model": "other-writer"}
    return scores_of(
        evaluation("v_1", "e_1", 6),
        evaluation("v_2", "e_1", 9, replicate=2),
        evaluation("v_3", "e_1", 4, evaluation_llm_model="judge-b"),
        evaluation("v_4", "e_2", 5, **second, origin_cohort_id="cohort-0"),
        evaluation("v_5", "e_2", None, evaluation_llm_model="judge-b", error="parse_failed", **second),
    )


def test_the_generation_scores_pivot_of_a_worked_example() -> None:
    rows = build_generation_scores_pivot(worked_example()).to_dicts()
    assert rows == [
        {
            "parent_gen_id": "e_1",
            "combo_id": "combo-1",
            "draft_template": "draft-A",
            "generation_template": "essay-X",
            "generation_model": "writer",
            "judge-a_novelty": 7.5,
            "judge-b_novelty": 4.0,
            "judge-a_novelty_min": 6.0,
            "judge-a_novelty_max": 9.0,
            "judge-a_novelty_n": 2,
            "judge-b_novelty_min": 4.0,
            "judge-b_novelty_max": 4.0,
            "judge-b_novelty_n": 1,
            "sum_scores": 11.5,
            "generation_response_path": "gens/essay/e_1/parsed.txt",
            "n_scores": 3,
            "n_errors": 0,
        },
        {
            "parent_gen_id": "e_2",
            "combo_id": "combo-2",
            "draft_template": "draft-A",
            "generation_template": "essay-X",
            "generation_model": "other-writer",
            "judge-a_novelty": 5.0,
            "judge-b_novelty": None,
            "judge-a_novelty_min": 5.0,
            "judge-a_novelty_max": 5.0,
            "judge-a_novelty_n": 1,
            "judge-b_novelty_min": None,
            "judge-b_novelty_max": None,
            "judge-b_novelty_n": 0,
            "sum_scores": 5.0,
            "generation_response_path": "gens/essay/e_2/parsed.txt",
            "n_scores": 1,
            "n_errors": 1,
        },
    ]


def test_two_essays_of_one_combination_template_and_model_stay_two_rows() -> None:
    pivot = build_generation_scores_pivot(scores_of(evaluation("v_1", "e_1", 2), evaluation("v_2", "e_2", 8)))
    assert pivot.select("parent_gen_id", "judge-a_novelty").rows() == [("e_1", 2.0), ("e_2", 8.0)]


def test_an_essay_without_any_score_keeps_its_row_and_has_no_sum() -> None:
    (row,) = build_generation_scores_pivot(scores_of(evaluation("v_1", "e_1", None))).to_dicts()
    assert (row["sum_scores"], row["n_scores"], row["n_errors"]) == (None, 0, 1)
    assert (row["judge-a_novelty"], row["judge-a_novelty_n"]) == (None, 0)


def test_evaluations_that_were_not_made_or_read_yet_are_no_errors() -> None:
    (row,) = build_generation_scores_pivot(
        scores_of(
            evaluation("v_1", "e_1", 6),
            *(evaluation(f"v_{e}", "e_1", None, error=e) for e in ("not_made", "not_parsed", "parse_failed")),
        )
    ).to_dicts()
    assert (row["n_scores"], row["n_errors"]) == (1, 1)


def test_evaluators_whose_joined_names_are_equal_keep_a_column_each() -> None:
    pivot = build_generation_scores_pivot(
        scores_of(
            evaluation("v_1", "e_1", 3, evaluation_llm_model="a_b", evaluation_template="c"),
            evaluation("v_2", "e_1", 7, evaluation_llm_model="a", evaluation_template="b_c"),
        )
    )
    assert pivot.select("a_b__c", "a__b_c").rows() == [(3.0, 7.0)]


def test_a_template_called_like_a_count_does_not_overwrite_the_count() -> None:
    pivot = build_generation_scores_pivot(
        scores_of(
            evaluation("v_1", "e_1", 3, evaluation_llm_model="m", evaluation_template="t"),
            evaluation("v_2", "e_1", 7, evaluation_llm_model="m", evaluation_template="t_n"),
        )
    )
    values = pivot.row(0, named=True)
    assert {3.0, 7.0} <= set(values.values())
    assert values["sum_scores"] == 10.0


def test_an_evaluation_listed_twice_is_counted_once() -> None:
    once = worked_example()
    twice = pl.concat([once, once.with_columns(cohort_id=pl.lit("cohort-9"))])
    assert build_generation_scores_pivot(twice).equals(build_generation_scores_pivot(once))


def test_the_order_of_the_rows_does_not_change_the_pivot() -> None:
    scores = worked_example()
    assert build_generation_scores_pivot(scores.reverse()).equals(build_generation_scores_pivot(scores))


@pytest.mark.parametrize(
    ("build", "columns"),
    [
        (
            build_generation_scores_pivot,
            [
                "parent_gen_id",
                "combo_id",
                "draft_template",
                "generation_template",
                "generation_model",
                "sum_scores",
                "generation_response_path",
                "n_scores",
                "n_errors",
            ],
        ),
        (
            build_evaluation_model_template_pivot,
            ["parent_gen_id", "combo_id", "draft_template", "generation_template", "generation_model"],
        ),
        (
            build_evaluation_scores_by_template_model,
            [
                "essay_gen_id",
                "combo_id",
                "draft_template",
                "generation_template",
                "generation_model",
                "origin_cohort_id",
            ],
        ),
        (
            build_template_version_comparison_pivot,
            [
                "parent_gen_id",
                "combo_id",
                "draft_template",
                "generation_template",
                "generation_model",
                "evaluation_llm_model",
                "replicate",
            ],
        ),
    ],
)
def test_no_scores_give_a_header_with_the_right_types(build: object, columns: list[str]) -> None:
    table = build(scores_of())  # type: ignore[operator]
    assert table.height == 0
    assert table.columns == columns
    types = {"sum_scores": pl.Float64(), "n_scores": pl.Int64(), "n_errors": pl.Int64(), "replicate": pl.Int64()}
    assert dict(table.schema) == {name: types.get(name, pl.String()) for name in columns}


def test_the_evaluation_model_template_pivot_says_how_many_replicates_a_mean_has() -> None:
    rows = build_evaluation_model_template_pivot(worked_example())
    assert rows.select("parent_gen_id", "judge-a_novelty", "judge-a_novelty_n", "judge-b_novelty_n").rows() == [
        ("e_1", 7.5, 2, 1),
        ("e_2", 5.0, 1, 0),
    ]


def test_the_table_over_all_cohorts_names_the_columns_template_first() -> None:
    rows = build_evaluation_scores_by_template_model(worked_example()).to_dicts()
    assert rows[0] == {
        "essay_gen_id": "e_1",
        "combo_id": "combo-1",
        "draft_template": "draft-A",
        "generation_template": "essay-X",
        "generation_model": "writer",
        "origin_cohort_id": "cohort-1",
        "novelty__judge-a": 7.5,
        "novelty__judge-b": 4.0,
        "novelty__judge-a_n": 2,
        "novelty__judge-b_n": 1,
    }
    assert rows[1]["origin_cohort_id"] == "cohort-0;cohort-1"


def test_the_template_comparison_keeps_judges_and_replicates_apart() -> None:
    scores = scores_of(
        evaluation("v_1", "e_1", 3),
        evaluation("v_2", "e_1", 4, replicate=2),
        evaluation("v_3", "e_1", 5, evaluation_template="novelty-v2"),
        evaluation("v_4", "e_1", 6, evaluation_llm_model="judge-b"),
    )
    table = build_template_version_comparison_pivot(scores)
    assert table.select("evaluation_llm_model", "replicate", "novelty", "novelty-v2").rows() == [
        ("judge-a", 1, 3.0, 5.0),
        ("judge-a", 2, 4.0, None),
        ("judge-b", 1, 6.0, None),
    ]


def test_the_template_comparison_shows_only_the_versions_asked_for_in_their_order() -> None:
    scores = scores_of(evaluation("v_1", "e_1", 3), evaluation("v_2", "e_1", 5, evaluation_template="novelty-v2"))
    table = build_template_version_comparison_pivot(scores, ["novelty-v2"])
    assert table.columns[-1] == "novelty-v2"
    assert "novelty" not in table.columns
