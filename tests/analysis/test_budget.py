from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from daydreaming_dagster.analysis.budget import (
    ACCEPTED_SCHEMA,
    BUDGET_SCHEMA,
    SPENDING_SCHEMA,
    build_budget,
    select_accepted,
)
from daydreaming_dagster.analysis.ranking import build_ranking
from daydreaming_dagster.analysis.ratings import MODELS_SCHEMA

from .simulated import Truth, simulate_ratings


def call(gen_id: str, stage: str, model: str, **facts: Any) -> dict[str, Any]:
    known = {"template_id": "t", "status": "ok", "prompt_tokens": 100, "completion_tokens": 10, "duration_s": 2.0}
    return {"gen_id": gen_id, "stage": stage, "llm_model_id": model, **known, **facts}


def calls(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in SPENDING_SCHEMA} for row in rows], schema=SPENDING_SCHEMA)


MODELS = pl.DataFrame([("judge", "fam", 0.001, 0.01)], schema=MODELS_SCHEMA, orient="row")


def accepted(*writers: str) -> pl.DataFrame:
    return pl.DataFrame([(f"e_{i}", writer) for i, writer in enumerate(writers)], schema=ACCEPTED_SCHEMA, orient="row")


def example() -> pl.DataFrame:
    return calls(
        call("d_1", "draft", "writer", cost_usd=1.0),
        call("d_1", "draft", "writer", cost_usd=0.5, status="truncated"),
        call("e_1", "essay", "writer", cost_usd=2.0, template_id="u"),
        call("v_1", "evaluation", "judge"),
        call("v_2", "evaluation", "other-judge", cost_usd_at_most=0.25),
    )


def test_the_total_of_a_worked_example() -> None:
    row = build_budget(example(), MODELS, accepted("writer", "writer")).row(0, named=True)
    assert row == {
        "level": "total",
        "stage": None,
        "llm_model_id": None,
        "template_id": None,
        "generations": 4,
        "calls": 5,
        "failed_calls": 1,
        "prompt_tokens": 500,
        "completion_tokens": 50,
        "cost_usd": pytest.approx(3.7),
        "calls_of_unknown_cost": 1,
        "unknown_cost_usd_at_most": 0.25,
        "unknown_tokens_at_most": 0,
        "duration_s": 10.0,
        "accepted_ideas": 2,
        "cost_usd_per_accepted_idea": pytest.approx(1.85),
    }


def test_tokens_of_calls_that_told_none_are_bounded_or_unknown() -> None:
    lost = {"prompt_tokens": None, "completion_tokens": None}
    bounded = call("v_1", "evaluation", "judge", **lost, tokens_at_most=700)
    half_told = call("v_2", "evaluation", "judge", completion_tokens=None, tokens_at_most=700)
    row = build_budget(calls(bounded, half_told), MODELS, accepted()).row(0, named=True)
    assert (row["prompt_tokens"], row["completion_tokens"], row["unknown_tokens_at_most"]) == (100, 0, 700)
    unbounded = call("v_3", "evaluation", "judge", **lost)
    row = build_budget(calls(bounded, unbounded), MODELS, accepted()).row(0, named=True)
    assert row["unknown_tokens_at_most"] is None


def test_every_level_adds_up_to_the_total() -> None:
    table = build_budget(example(), MODELS, accepted())
    for column in ("calls", "failed_calls", "prompt_tokens", "calls_of_unknown_cost"):
        by_level = dict(table.group_by("level").agg(pl.col(column).sum()).rows())
        assert {by_level[level] for level in ("stage", "model", "template")} == {by_level["total"]}


def test_an_idea_costs_what_its_generator_wrote_for_it() -> None:
    table = build_budget(example(), MODELS, accepted("writer", "writer"))
    row = table.filter(pl.col("level") == "generator").row(0, named=True)
    assert (row["llm_model_id"], row["cost_usd"], row["cost_usd_per_accepted_idea"]) == ("writer", 3.5, 1.75)


def test_no_accepted_idea_has_no_price() -> None:
    table = build_budget(example(), MODELS, accepted())
    assert table["cost_usd_per_accepted_idea"].null_count() == table.height
    assert table.filter(pl.col("level") == "total")["accepted_ideas"].item() == 0


def test_a_cost_nobody_knows_is_null_and_not_zero() -> None:
    table = build_budget(calls(call("v_1", "evaluation", "other-judge")), MODELS, accepted("writer"))
    assert table.row(0, named=True)["cost_usd"] is None


def test_a_bound_is_only_given_when_it_holds_for_all_calls_of_unknown_cost() -> None:
    bounded = call("v_1", "evaluation", "other-judge", cost_usd_at_most=0.25)
    paid = call("v_2", "evaluation", "other-judge", cost_usd=0.1, cost_usd_at_most=0.3)
    older = call("v_3", "evaluation", "other-judge")
    bounds = [
        build_budget(calls(*rows), MODELS, accepted()).row(0, named=True)["unknown_cost_usd_at_most"]
        for rows in ([paid], [paid, bounded], [paid, bounded, older])
    ]
    assert bounds == [0.0, 0.25, None]


def test_a_list_price_does_not_make_a_lost_call_known() -> None:
    lost = call("v_1", "evaluation", "judge", cost_usd_at_most=0.25)
    row = build_budget(calls(lost), MODELS, accepted()).row(0, named=True)
    assert (row["cost_usd"], row["calls_of_unknown_cost"], row["unknown_cost_usd_at_most"]) == (None, 1, 0.25)


def test_no_calls_give_a_header_with_the_right_types() -> None:
    table = build_budget(calls(), MODELS, accepted())
    assert table.height == 0
    assert dict(table.schema) == BUDGET_SCHEMA


def test_accepted_essays_reach_the_asked_points() -> None:
    ranking = build_ranking(simulate_ratings(Truth()))
    chosen = select_accepted(ranking, "novelty_judged", 5.5)
    good = ranking.filter(pl.col("level") == "essay", pl.col("shrunken") >= 5.5)
    assert chosen["essay_gen_id"].to_list() == good["id"].to_list()
    assert select_accepted(ranking, "coherence", 0.0).height == 0
