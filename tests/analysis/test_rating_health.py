from __future__ import annotations

import math

import polars as pl
import pytest

from daydreaming_dagster.analysis.rating_health import RATING_HEALTH_SCHEMA, build_rating_health

from .simulated import Truth, simulate_ratings


def by_judge(table: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["judge_model"]: row for row in table.to_dicts()}


def hand_made(rows: list[tuple[str, int, str, int, float | None]]) -> pl.DataFrame:
    """Ratings from (judge, essay, combination, replicate, score)."""
    base = simulate_ratings(Truth(n_combos=1, essays_per_combo=1, judges=("judge-a",)))
    return pl.concat(
        [
            base.with_columns(
                gen_id=pl.lit(f"v_{index}"),
                judge_model=pl.lit(judge),
                essay_gen_id=pl.lit(f"e_{essay}"),
                combo_id=pl.lit(combo),
                replicate=pl.lit(replicate, dtype=pl.Int64),
                score=pl.lit(score, dtype=pl.Float64),
                value=pl.lit(score, dtype=pl.Float64),
                parse_status=pl.lit("ok" if score is not None else "parse_failed"),
                essay_length_words=pl.lit(100 * essay, dtype=pl.Int64),
            )
            for index, (judge, essay, combo, replicate, score) in enumerate(rows)
        ]
    )


def test_a_worked_example() -> None:
    table = build_rating_health(
        hand_made(
            [
                ("judge-a", 1, "c1", 1, 9),
                ("judge-a", 1, "c1", 2, 9),
                ("judge-a", 2, "c2", 1, 0),
                ("judge-a", 2, "c2", 2, 2),
                ("judge-a", 3, "c3", 1, None),
                ("judge-b", 1, "c1", 1, 7),
            ]
        )
    )
    row = by_judge(table)["judge-a"]
    assert row["n_asked"] == 5
    assert (row["n"], row["n_essays"], row["n_clusters"]) == (4, 2, 2)
    assert row["failures"] == "parse_failed: 1"
    assert row["mean"] == 5.0
    assert row["points_used"] == 3
    assert row["missing_share"] == pytest.approx(0.2)
    assert row["floor_share"] == 0.25
    assert row["ceiling_share"] == 0.5
    assert row["entropy_bits"] == pytest.approx(1.5)
    assert row["severity"] == pytest.approx(1.0)
    assert row["length_slope"] == pytest.approx(-8.0)
    assert row["identical_replicate_share"] == 0.5
    assert row["severity_low"] is None
    assert "fewer than 5 combinations" in str(row["note"])


def test_a_judge_without_any_rating_keeps_a_row_that_says_so() -> None:
    table = build_rating_health(hand_made([("judge-a", 1, "c1", 1, 5), ("judge-b", 1, "c1", 1, None)]))
    row = by_judge(table)["judge-b"]
    assert (row["n_asked"], row["n"], row["missing_share"]) == (1, 0, 1.0)
    assert row["ceiling_share"] is None
    assert row["failures"] == "parse_failed: 1"


def test_one_judge_has_no_severity_and_the_note_says_why() -> None:
    table = build_rating_health(simulate_ratings(Truth(judges=("judge-a",))))
    (row,) = table.to_dicts()
    assert row["severity"] is None
    assert "severity not estimable" in row["note"]
    assert row["identical_replicate_share"] is None


def test_planted_severity_and_length_slopes_lie_in_their_intervals() -> None:
    ratings = simulate_ratings(
        Truth(n_combos=120, judge=0.0, length_slope={"judge-a": 0.4}, rounded=False, seed=4), None
    )
    harsh = pl.when(pl.col("judge_model") == "judge-b").then(pl.col("value") - 1.2).otherwise(pl.col("value"))
    rows = by_judge(build_rating_health(ratings.with_columns(value=harsh), draws=400))
    assert rows["judge-b"]["severity_low"] < -0.9 < rows["judge-b"]["severity_high"]  # type: ignore[operator]
    assert rows["judge-a"]["length_slope_low"] < 0.4 < rows["judge-a"]["length_slope_high"]  # type: ignore[operator]
    assert rows["judge-c"]["length_slope_low"] < 0.0 < rows["judge-c"]["length_slope_high"]  # type: ignore[operator]


def test_a_slope_over_fewer_than_a_hundred_words_is_told_over_the_words_there_are() -> None:
    ratings = simulate_ratings(Truth(judges=("judge-a",), rounded=False))
    near = ratings.with_columns(essay_length_words=400 + pl.col("essay_length_words") % 100)
    steep = near.with_columns(value=5 + 0.03 * (pl.col("essay_length_words") - 450))
    (row,) = build_rating_health(steep, draws=50).to_dicts()
    assert row["length_slope"] == pytest.approx(3.0)
    assert row["length_slope_low"] == pytest.approx(3.0)
    spread = row["length_spread_words"]
    assert 50 < spread < 100
    assert f"{0.03 * spread:.2f} points over the {spread:.0f} words between short and long essays" in row["note"]


def test_there_is_no_slope_without_lengths() -> None:
    ratings = simulate_ratings(Truth(judges=("judge-a",), rounded=False))
    (row,) = build_rating_health(ratings.with_columns(essay_length_words=None), draws=50).to_dicts()
    assert row["length_slope"] is None
    assert "no lengths are known" in row["note"]


def test_a_share_of_zero_still_has_an_upper_bound() -> None:
    (row,) = build_rating_health(simulate_ratings(Truth(judges=("judge-a",), combo=0.1, essay=0.1))).to_dicts()
    assert row["ceiling_share"] == 0.0
    assert row["ceiling_share_low"] == 0.0
    assert row["ceiling_share_high"] == pytest.approx(1 - 0.025 ** (1 / 60))


def test_all_scores_equal_give_zero_bits_and_no_slope_is_invented() -> None:
    ratings = simulate_ratings(Truth(judges=("judge-a", "judge-b"))).with_columns(
        value=pl.lit(5.0), score=pl.lit(5.0), essay_length_words=pl.lit(400, dtype=pl.Int64)
    )
    for row in build_rating_health(ratings, draws=50).to_dicts():
        assert row["entropy_bits"] == 0.0
        assert row["severity"] == pytest.approx(0.0, abs=1e-12)
        assert row["length_slope"] is None
        assert not any(isinstance(cell, float) and math.isnan(cell) for cell in row.values())


def test_no_ratings_give_a_header_with_the_right_types() -> None:
    table = build_rating_health(simulate_ratings(Truth()).head(0))
    assert table.height == 0
    assert dict(table.schema) == RATING_HEALTH_SCHEMA
