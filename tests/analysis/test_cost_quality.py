from __future__ import annotations

import polars as pl
import pytest

from daydreaming_dagster.analysis.budget import build_budget
from daydreaming_dagster.analysis.cost_quality import COST_QUALITY_SCHEMA, build_cost_quality
from daydreaming_dagster.analysis.ratings import MODELS_SCHEMA

from .simulated import Truth, simulate_ratings
from .test_budget import accepted, call, calls

NO_PRICES = pl.DataFrame(schema=MODELS_SCHEMA)


def test_quality_is_that_of_the_writers_essays_and_cost_that_of_draft_and_essay() -> None:
    ratings = simulate_ratings(Truth(n_combos=40, generator_effects={"writer-a": 1.0}, seed=1))
    budget = build_budget(
        calls(
            call("d_1", "draft", "writer-a", cost_usd=1.0),
            call("e_1", "essay", "writer-a", cost_usd=2.0),
            call("e_2", "essay", "writer-a", cost_usd=2.0),
            call("d_2", "draft", "writer-b"),
            call("e_3", "essay", "writer-b", cost_usd=1.0),
        ),
        NO_PRICES,
        accepted(),
    )
    table = build_cost_quality(ratings, budget)
    rows = {row["generator_model"]: row for row in table.to_dicts()}
    means = dict(ratings.group_by("generator_model").agg(pl.col("value").mean()).rows())
    for writer in ("writer-a", "writer-b", "writer-c"):
        assert rows[writer]["estimate"] == pytest.approx(means[writer])
        assert rows[writer]["low"] < means[writer] < rows[writer]["high"]
        assert (rows[writer]["n"], rows[writer]["n_clusters"]) == (40, 40)
    assert rows["writer-a"]["cost_usd_per_essay"] == 2.5
    assert rows["writer-b"]["cost_usd_per_essay"] is None
    assert rows["writer-c"]["cost_usd_per_essay"] is None


def test_no_ratings_give_a_header_with_the_right_types() -> None:
    table = build_cost_quality(simulate_ratings(Truth(missing=1.0)), build_budget(calls(), NO_PRICES, accepted()))
    assert table.height == 0
    assert dict(table.schema) == COST_QUALITY_SCHEMA
