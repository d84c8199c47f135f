from __future__ import annotations

import polars as pl
import pytest

from daydreaming_dagster.analysis.summaries import (
    FINAL_RESULTS_SCHEMA,
    FINAL_RESULTS_SECTIONS,
    PERFECT_SCORE_PATHS_SCHEMA,
    build_filtered_evaluation_results,
    build_final_results,
    build_perfect_score_paths,
)

from .score_tables import evaluation, scores_of


def four_scores() -> pl.DataFrame:
    other = {"combo_id": "combo-2", "generation_model": "other", "generation_template": "essay-Y"}
    return scores_of(
        evaluation("v_1", "e_1", 9),
        evaluation("v_2", "e_1", 8, evaluation_llm_model="judge-b"),
        evaluation("v_3", "e_2", 3, **other),
        evaluation("v_4", "e_2", 4, **other, replicate=2),
        evaluation("v_5", "e_2", None, combo_id="combo-2", error="truncated"),
    )


def test_the_overall_row_of_a_worked_example() -> None:
    (row,) = build_final_results(four_scores()).filter(pl.col("analysis_type") == "overall_statistics").to_dicts()
    assert row == {
        "analysis_type": "overall_statistics",
        "generation_template": None,
        "generation_model": None,
        "evaluation_llm_model": None,
        "combo_id": None,
        "construct": "novelty",
        "scale_min": 0.0,
        "scale_max": 9.0,
        "count": 4,
        "n_essays": 2,
        "average": 6.0,
        "std_dev": pytest.approx((26 / 3) ** 0.5),
        "min_score": 3.0,
        "max_score": 9.0,
        "perfect_scores": 1,
        "perfect_score_pct": 25.0,
        "high_scores": 2,
        "high_score_pct": 50.0,
        "low_scores": 1,
        "low_score_pct": 25.0,
    }


def test_every_section_has_a_row_per_group() -> None:
    table = build_final_results(four_scores())
    groups = {
        section: table.filter(pl.col("analysis_type") == section).select(*keys, "count").rows()
        for section, keys in FINAL_RESULTS_SECTIONS.items()
    }
    assert groups == {
        "by_generation_template": [("essay-X", 2), ("essay-Y", 2)],
        "by_generation_model": [("other", 2), ("writer", 2)],
        "by_evaluation_model": [("judge-a", 3), ("judge-b", 1)],
        "by_combo_id": [("combo-1", 2), ("combo-2", 2)],
        "by_template_and_generation_model": [("essay-X", "writer", 2), ("essay-Y", "other", 2)],
        "by_generation_vs_evaluation_model": [
            ("other", "judge-a", 2),
            ("writer", "judge-a", 1),
            ("writer", "judge-b", 1),
        ],
        "overall_statistics": [(4,)],
    }


def test_a_single_score_has_no_standard_deviation() -> None:
    table = build_final_results(scores_of(evaluation("v_1", "e_1", 5)))
    assert table["std_dev"].null_count() == table.height


def test_rubrics_of_one_construct_are_averaged_and_others_are_not() -> None:
    scores = scores_of(
        evaluation("v_1", "e_1", 2, evaluation_template="nov-1"),
        evaluation("v_2", "e_1", 4, evaluation_template="nov-2"),
        evaluation("v_3", "e_1", 9, evaluation_template="coherence"),
    )
    constructs = {"nov-1": "novelty_judged", "nov-2": "novelty_judged", "coherence": ""}
    overall = build_final_results(scores, constructs).filter(pl.col("analysis_type") == "overall_statistics")
    assert overall.select("construct", "average").rows() == [("coherence", 9.0), ("novelty_judged", 3.0)]


def test_perfect_is_the_top_of_the_templates_own_scale() -> None:
    scores = scores_of(
        evaluation("v_1", "e_1", 9),
        evaluation("v_2", "e_1", 5, evaluation_template="short", scale_max=5.0),
        evaluation("v_3", "e_1", 5),
    )
    table = build_perfect_score_paths(scores)
    assert table["gen_id"].to_list() == ["v_1", "v_2"]
    assert table.row(0, named=True) == {
        "gen_id": "v_1",
        "parent_gen_id": "e_1",
        "combo_id": "combo-1",
        "draft_template": "draft-A",
        "generation_template": "essay-X",
        "generation_model": "writer",
        "evaluation_template": "novelty",
        "evaluation_llm_model": "judge-a",
        "replicate": 1,
        "score": 9.0,
        "scale_max": 9.0,
        "generation_response_path": "gens/essay/e_1/parsed.txt",
        "evaluation_response_path": "gens/evaluation/v_1/parsed.txt",
        "notes": "Perfect score from writer generation + judge-a evaluation",
    }


def test_filtering_keeps_the_columns_and_the_rows_with_errors() -> None:
    scores = four_scores()
    kept = build_filtered_evaluation_results(scores, combo_id=["combo-2"], evaluation_template=None)
    assert kept["gen_id"].to_list() == ["v_3", "v_4", "v_5"]
    assert kept.schema == scores.schema
    assert build_filtered_evaluation_results(scores).equals(scores)


def test_filtering_by_a_column_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="judge"):
        build_filtered_evaluation_results(four_scores(), judge=["a"])


def test_no_scores_give_headers_with_the_right_types() -> None:
    nothing = scores_of(evaluation("v_1", "e_1", None))
    assert dict(build_final_results(nothing).schema) == FINAL_RESULTS_SCHEMA
    assert dict(build_perfect_score_paths(nothing).schema) == PERFECT_SCORE_PATHS_SCHEMA
    assert build_final_results(nothing).height == build_perfect_score_paths(nothing).height == 0
