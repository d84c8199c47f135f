from __future__ import annotations

import pytest
from polars.testing import assert_frame_equal

from daydreaming_dagster.analysis.score_spread import (
    COMPREHENSIVE_VARIANCE_SCHEMA,
    EVALUATOR_AGREEMENT_SCHEMA,
    build_comprehensive_variance_analysis,
    build_evaluator_agreement_analysis,
)

from .score_tables import evaluation, scores_of

B = {"evaluation_llm_model": "judge-b"}


def test_the_agreement_row_of_a_worked_example() -> None:
    scores = scores_of(
        evaluation("v_1", "e_1", 4),
        evaluation("v_2", "e_1", 6, replicate=2),
        evaluation("v_3", "e_1", 8, **B),
    )
    (row,) = build_evaluator_agreement_analysis(scores).to_dicts()
    assert row == {
        "parent_gen_id": "e_1",
        "combo_id": "combo-1",
        "draft_template": "draft-A",
        "generation_template": "essay-X",
        "generation_model": "writer",
        "construct": "novelty",
        "scale_min": 0.0,
        "scale_max": 9.0,
        "evaluator_count": 2,
        "n_scores": 3,
        "mean_score": 6.5,
        "std_dev": pytest.approx(4.5**0.5),
        "min_score": 5.0,
        "max_score": 8.0,
        "median_score": 6.5,
        "score_range": 3.0,
        "relative_range": pytest.approx(1 / 3),
        "coefficient_of_variation": pytest.approx(4.5**0.5 / 6.5),
        "agreement_classification": "low_agreement",
    }


@pytest.mark.parametrize(
    ("other", "word"),
    [(5, "high_agreement"), (6, "moderate_agreement"), (7, "low_agreement"), (7.1, "poor_agreement")],
)
def test_agreement_is_named_by_the_range_on_the_scale(other: float, word: str) -> None:
    scores = scores_of(evaluation("v_1", "e_1", 4), evaluation("v_2", "e_1", other, **B))
    assert build_evaluator_agreement_analysis(scores)["agreement_classification"].to_list() == [word]


def test_replicates_of_one_judge_are_not_two_judges() -> None:
    scores = scores_of(evaluation("v_1", "e_1", 1), evaluation("v_2", "e_1", 9, replicate=2))
    (row,) = build_evaluator_agreement_analysis(scores).to_dicts()
    assert (row["evaluator_count"], row["n_scores"]) == (1, 2)
    assert row["agreement_classification"] == "insufficient_data"
    assert row["std_dev"] is None


def test_rubrics_of_different_constructs_are_not_compared_with_each_other() -> None:
    scores = scores_of(evaluation("v_1", "e_1", 1), evaluation("v_2", "e_1", 9, evaluation_template="coherence"))
    table = build_evaluator_agreement_analysis(scores)
    assert table.select("construct", "evaluator_count").rows() == [("coherence", 1), ("novelty", 1)]


def test_the_spread_is_laid_to_the_axis_it_comes_from() -> None:
    scores = scores_of(
        evaluation("v_1", "e_1", 2, evaluation_template="n1"),
        evaluation("v_2", "e_1", 4, evaluation_template="n1", replicate=2),
        evaluation("v_3", "e_1", 8, evaluation_template="n2"),
        evaluation("v_4", "e_1", 7, evaluation_template="n1", **B),
    )
    table = build_comprehensive_variance_analysis(scores, {"n1": "novelty", "n2": "novelty"})
    columns = ["analysis_type", "evaluation_template", "evaluation_llm_model", "n_values", "n_scores", "score_range"]
    assert table.select(columns).rows() == [
        ("overall_variance", None, None, 3, 4, 5.0),
        ("template_variance", None, "judge-a", 2, 3, 5.0),
        ("model_variance", "n1", None, 2, 3, 4.0),
        ("replicate_variance", "n1", "judge-a", 2, 2, 2.0),
    ]
    assert table.select("num_templates", "num_models").rows() == [(2, 2), (2, 1), (1, 2), (1, 1)]


def test_a_mean_of_zero_has_no_coefficient_of_variation() -> None:
    scores = scores_of(evaluation("v_1", "e_1", 0), evaluation("v_2", "e_1", 0, **B))
    table = build_evaluator_agreement_analysis(scores)
    assert table["coefficient_of_variation"].to_list() == [None]


def test_no_scores_give_headers_with_the_right_types() -> None:
    nothing = scores_of()
    assert dict(build_evaluator_agreement_analysis(nothing).schema) == EVALUATOR_AGREEMENT_SCHEMA
    assert dict(build_comprehensive_variance_analysis(nothing).schema) == COMPREHENSIVE_VARIANCE_SCHEMA


def test_the_order_of_the_rows_does_not_change_the_tables() -> None:
    scores = scores_of(
        *(
            evaluation(f"v_{essay}{judge}", f"e_{essay}", (essay * judge) % 10, evaluation_llm_model=f"judge-{judge}")
            for essay in range(5)
            for judge in range(3)
        )
    )
    shuffled = scores.sample(fraction=1.0, shuffle=True, seed=3)
    for build in (build_evaluator_agreement_analysis, build_comprehensive_variance_analysis):
        assert_frame_equal(build(shuffled), build(scores))


def test_a_scale_without_extent_gives_no_shares() -> None:
    scores = scores_of(evaluation("v_1", "e_1", 0, scale_max=0.0), evaluation("v_2", "e_1", 0, scale_max=0.0, **B))
    table = build_evaluator_agreement_analysis(scores)
    assert table.select("relative_range", "agreement_classification").rows() == [(None, "insufficient_data")]
