from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from daydreaming_dagster.analysis.panels import build_panel, iterate_panels
from daydreaming_dagster.analysis.ratings import (
    CALLS_SCHEMA,
    ESSAYS_SCHEMA,
    MODELS_SCHEMA,
    RATINGS_LONG_SCHEMA,
    TEMPLATES_SCHEMA,
    build_ratings_long,
    select_rated,
)
from daydreaming_dagster.analysis.schema import Schema

from .score_tables import evaluation, scores_of


def frame(schema: Schema, *rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def long(scores: pl.DataFrame, **inputs: pl.DataFrame) -> pl.DataFrame:
    schemas = {"essays": ESSAYS_SCHEMA, "models": MODELS_SCHEMA, "templates": TEMPLATES_SCHEMA, "calls": CALLS_SCHEMA}
    return build_ratings_long(scores, **{name: inputs.get(name, frame(schema)) for name, schema in schemas.items()})


def test_a_worked_example_has_every_column_filled() -> None:
    scores = scores_of(evaluation("v_1", "e_1", 7, experiment_id="exp"))
    models = frame(
        MODELS_SCHEMA,
        {"llm_model_id": "writer", "family": "fam"},
        {"llm_model_id": "judge-a", "family": "fam", "price_prompt": 1e-6, "price_completion": 2e-6},
    )
    call = {
        "gen_id": "v_1",
        "stage": "evaluation",
        "llm_model_id": "judge-a",
        "provider": "p",
        "template_sha256": "old",
    }
    row = long(
        scores,
        models=models,
        essays=frame(ESSAYS_SCHEMA, {"essay_gen_id": "e_1", "essay_length_words": 500}),
        templates=frame(
            TEMPLATES_SCHEMA,
            {
                "template_id": "novelty",
                "construct": "novelty_judged",
                "direction": "lower_is_better",
            },
        ),
        calls=frame(
            CALLS_SCHEMA,
            call | {"status": "truncated", "prompt_tokens": 1000, "completion_tokens": 100, "cost_usd": 0.5},
            call | {"prompt_tokens": 1000, "completion_tokens": 50, "provider": "q", "template_sha256": "abc"},
            call | {"stage": "essay", "prompt_tokens": 9},
        ),
    ).row(0, named=True)
    assert row == {
        "gen_id": "v_1",
        "essay_gen_id": "e_1",
        "draft_gen_id": "d_1",
        "combo_id": "combo-1",
        "cohort_id": "cohort-1",
        "experiment_id": "exp",
        "draft_template": "draft-A",
        "essay_template": "essay-X",
        "generator_model": "writer",
        "generator_family": "fam",
        "judge_model": "judge-a",
        "judge_family": "fam",
        "evaluation_template": "novelty",
        "template_sha256": "abc",
        "construct": "novelty_judged",
        "direction": "lower_is_better",
        "replicate": 1,
        "score": 7.0,
        "value": 2.0,
        "scale_min": 0.0,
        "scale_max": 9.0,
        "parse_status": "ok",
        "same_family": True,
        "essay_length_words": 500,
        "prompt_tokens": 2000,
        "completion_tokens": 150,
        "cost_usd": pytest.approx(0.5 + 1000e-6 + 50 * 2e-6),
        "provider": "q",
    }


def test_what_nobody_knows_is_null_and_failures_are_rows() -> None:
    table = long(scores_of(evaluation("v_1", "e_1", 7), evaluation("v_2", "e_1", None, error="truncated")))
    assert table["parse_status"].to_list() == ["ok", "truncated"]
    assert table["value"].to_list() == [7.0, None]
    for column in ("same_family", "generator_family", "essay_length_words", "cost_usd", "provider"):
        assert table[column].to_list() == [None, None]
    assert table["construct"].to_list() == ["novelty", "novelty"]
    assert select_rated(table)["gen_id"].to_list() == ["v_1"]


def test_a_blank_family_is_no_family() -> None:
    models = frame(MODELS_SCHEMA, {"llm_model_id": "writer", "family": ""}, {"llm_model_id": "judge-a", "family": ""})
    assert long(scores_of(evaluation("v_1", "e_1", 7)), models=models)["same_family"].to_list() == [None]


def test_a_construct_on_two_scales_is_two_constructs() -> None:
    templates = frame(
        TEMPLATES_SCHEMA,
        {"template_id": "novelty", "construct": "nov"},
        {"template_id": "short", "construct": "nov"},
        {"template_id": "clear", "construct": "coherence"},
    )
    scores = scores_of(
        evaluation("v_1", "e_1", 7),
        evaluation("v_2", "e_1", 3, evaluation_template="short", scale_max=4.5),
        evaluation("v_3", "e_1", 3, evaluation_template="clear"),
    )
    assert long(scores, templates=templates)["construct"].to_list() == ["nov [0–9]", "nov [0–4.5]", "coherence"]


def test_the_cost_of_a_rating_is_unknown_when_one_of_its_calls_is() -> None:
    call = {"gen_id": "v_1", "stage": "evaluation"}
    calls = frame(CALLS_SCHEMA, call | {"cost_usd": 1.0}, call)
    assert long(scores_of(evaluation("v_1", "e_1", 7)), calls=calls)["cost_usd"].to_list() == [None]


def test_no_scores_give_a_header_with_the_right_types() -> None:
    table = long(scores_of())
    assert table.height == 0
    assert dict(table.schema) == RATINGS_LONG_SCHEMA
    assert list(iterate_panels(table)) == []


def test_a_panel_numbers_everything_by_name() -> None:
    scores = scores_of(
        evaluation("v_1", "e_2", 7, evaluation_llm_model="judge-b"),
        evaluation("v_2", "e_1", 5, combo_id=None),
        evaluation("v_3", "e_2", 6, replicate=2),
    )
    panel = build_panel(select_rated(long(scores)))
    assert panel.essays == ["e_1", "e_2"]
    assert panel.judges == ["judge-a", "judge-b"]
    assert panel.combos == ["combo-1", "essay e_1"]
    assert panel.value.tolist() == [5.0, 6.0, 7.0]
    assert panel.essay.tolist() == [0, 1, 1]
    assert panel.combo.tolist() == [1, 0, 0]
    assert panel.evaluators == [(0, 0), (0, 1)]
    assert panel.evaluator.tolist() == [0, 0, 1]


def test_a_panel_does_not_depend_on_the_order_of_the_rows() -> None:
    scores = scores_of(*(evaluation(f"v_{i}", f"e_{i % 3}", i % 10) for i in range(12)))
    panel, other = build_panel(select_rated(long(scores))), build_panel(select_rated(long(scores.reverse())))
    assert panel.frame.equals(other.frame)
    assert (panel.value == other.value).all()
