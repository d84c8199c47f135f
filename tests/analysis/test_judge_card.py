from __future__ import annotations

import math

import polars as pl
import pytest

from daydreaming_dagster.analysis.judge_card import JUDGE_CARD_SCHEMA, build_judge_card

from .simulated import Truth, simulate_ratings

FAMILIES = {"judge-a": "X", "writer-a": "X", "judge-b": "Y", "writer-b": "Y"}


def card(ratings: pl.DataFrame, draws: int = 200) -> dict[tuple[str, str], dict[str, object]]:
    return {(row["judge_model"], row["quantity"]): row for row in build_judge_card(ratings, draws).to_dicts()}


def test_planted_biases_are_found_and_others_are_not() -> None:
    """Forty cohorts: how often the intervals hold the planted value, and how often they exclude zero."""
    covered = {"self": 0, "none": 0, "length": 0, "noise": 0}
    runs = 40
    for seed in range(runs):
        found = card(
            simulate_ratings(
                Truth(
                    n_combos=60,
                    replicates=2,
                    missing=0.15,
                    rounded=False,
                    families=FAMILIES,
                    generator_effects={"writer-a": 1.0},
                    self_preference={"judge-a": 0.6},
                    length_slope={"judge-c": 0.3},
                    seed=seed,
                )
            )
        )
        for name, key, truth in (
            ("self", ("judge-a", "self_preference"), 0.6),
            ("none", ("judge-b", "self_preference"), 0.0),
            ("length", ("judge-c", "length_slope"), 0.3),
            ("noise", ("judge-d", "repeat_noise"), 0.5),
        ):
            row = found[key]
            covered[name] += row["low"] <= truth <= row["high"]  # type: ignore[operator]
    assert min(covered.values()) >= 34, covered


def test_a_better_writer_is_not_taken_for_a_favoured_one() -> None:
    """All judges give writer-a two points more, because it deserves them."""
    ratings = simulate_ratings(Truth(n_combos=200, families=FAMILIES, generator_effects={"writer-a": 2.0}, seed=3))
    row = card(ratings)["judge-a", "self_preference"]
    assert row["low"] < 0 < row["high"]  # type: ignore[operator]


def test_severity_is_relative_to_the_other_judges() -> None:
    ratings = simulate_ratings(Truth(judge=0.0, rounded=False)).with_columns(
        value=pl.when(pl.col("judge_model") == "judge-a").then(pl.col("value") - 1.0).otherwise("value")
    )
    found = card(ratings)
    assert found["judge-a", "severity"]["estimate"] == pytest.approx(-0.75, abs=0.1)
    assert sum(found[judge, "severity"]["estimate"] for judge in ("judge-a", "judge-b", "judge-c", "judge-d")) == (  # type: ignore[misc]
        pytest.approx(0, abs=1e-9)
    )


def test_the_noise_of_repeated_ratings_of_a_worked_example() -> None:
    ratings = simulate_ratings(Truth(n_combos=10, essays_per_combo=1, judges=("judge-a",), replicates=2))
    apart = ratings.with_columns(value=pl.when(pl.col("replicate") == 1).then(4.0).otherwise(6.0))
    assert card(apart)["judge-a", "repeat_noise"]["estimate"] == pytest.approx(math.sqrt(2))


def test_one_judge_cannot_be_compared_and_the_notes_say_so() -> None:
    found = card(simulate_ratings(Truth(judges=("judge-a",), families=FAMILIES)))
    for quantity in ("severity", "self_preference", "length_slope", "repeat_noise"):
        assert found["judge-a", quantity]["estimate"] is None
        assert "not estimable" in str(found["judge-a", quantity]["note"])
    assert found["judge-a", "ceiling_share"]["estimate"] is not None


def test_what_a_judge_gives_for_length_is_told_over_the_words_there_are() -> None:
    near = simulate_ratings(Truth()).with_columns(essay_length_words=400 + pl.col("essay_length_words") % 60)
    row = card(near)["judge-a", "length_slope"]
    assert row["estimate"] is not None
    assert "words between short and long essays" in str(row["note"])
    alike = card(near.with_columns(essay_length_words=400))["judge-a", "length_slope"]
    assert alike["estimate"] is None
    assert "four lengths in five are the same" in str(alike["note"])


def test_unknown_families_give_no_self_preference() -> None:
    ratings = simulate_ratings(Truth(families=FAMILIES)).with_columns(same_family=pl.lit(None, dtype=pl.Boolean))
    row = card(ratings)["judge-a", "self_preference"]
    assert row["estimate"] is None
    assert "famil" in str(row["note"])


def test_no_ratings_give_a_header_with_the_right_types() -> None:
    assert dict(build_judge_card(simulate_ratings(Truth(missing=1.0))).schema) == JUDGE_CARD_SCHEMA
