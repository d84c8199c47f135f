from __future__ import annotations

from typing import Literal

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import PARSED_SCORES_SCHEMA
from daydreaming_dagster.analysis.schema import table_of_rows
from daydreaming_dagster.cli.closing_page import rank_essays
from daydreaming_dagster.domain.catalogue import Template
from daydreaming_dagster.domain.stages import Stage


def make_rubric(name: str, direction: Literal["higher_is_better", "lower_is_better"]) -> Template:
    return Template(Stage.EVALUATION, name, name, "", "in_last_line", "llm", True, "text", direction=direction)


def make_scores(scores: dict[str, dict[str, float]]) -> pl.DataFrame:
    rows = [
        {"gen_id": f"{essay}-{rubric}", "parent_gen_id": essay, "evaluation_template": rubric, "score": score}
        for essay, of_essay in scores.items()
        for rubric, score in of_essay.items()
    ]
    return table_of_rows(rows, PARSED_SCORES_SCHEMA)


def test_the_best_essay_by_a_rubric_where_lower_is_better_is_the_lowest() -> None:
    scores = make_scores({"e_low": {"clichés": 1.0}, "e_high": {"clichés": 8.0}})
    for direction, best in (("lower_is_better", "e_low"), ("higher_is_better", "e_high")):
        essays, rubrics = rank_essays(scores, [make_rubric("clichés", direction)])  # type: ignore[arg-type]
        assert (essays["parent_gen_id"][0], rubrics) == (best, ["clichés"])


def test_ties_by_the_first_rubric_are_broken_by_the_next_one_whichever_way_it_counts() -> None:
    scores = make_scores({"e_a": {"first": 5.0, "clichés": 7.0}, "e_b": {"first": 5.0, "clichés": 2.0}})
    rubrics = [make_rubric("first", "higher_is_better"), make_rubric("clichés", "lower_is_better")]
    essays, _ = rank_essays(scores, [*rubrics, make_rubric("unused", "higher_is_better")])
    assert essays["parent_gen_id"].to_list() == ["e_b", "e_a"]


def test_a_judge_counts_once_however_many_of_its_replicates_gave_a_score() -> None:
    given = [
        ("e_a", "strict", 2.0),
        ("e_a", "kind", 8.0),
        ("e_a", "kind", 9.0),
        ("e_b", "strict", 5.0),
        ("e_b", "kind", 6.0),
    ]
    rows = [
        {
            "gen_id": f"v_{i}",
            "parent_gen_id": essay,
            "evaluation_template": "first",
            "evaluation_llm_model": judge,
            "score": score,
        }
        for i, (essay, judge, score) in enumerate(given)
    ]
    essays, _ = rank_essays(table_of_rows(rows, PARSED_SCORES_SCHEMA), [make_rubric("first", "higher_is_better")])
    assert essays.select("parent_gen_id", "first").rows() == [("e_b", 5.5), ("e_a", 5.25)]
