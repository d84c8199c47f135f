from __future__ import annotations

import math

import polars as pl
import pytest

from daydreaming_dagster.analysis.variance_components import (
    D_STUDY_SCHEMA,
    VARIANCE_COMPONENTS_SCHEMA,
    build_d_study,
    build_variance_components,
)

from .simulated import Truth, simulate_ratings

EIGHT_JUDGES = tuple(f"judge-{letter}" for letter in "abcdefgh")


def components(ratings: pl.DataFrame, draws: int = 200) -> dict[str, dict[str, object]]:
    return {row["component"]: row for row in build_variance_components(ratings, draws).to_dicts()}


def test_planted_components_lie_in_their_intervals() -> None:
    truth = {"essay": 1.0, "essay × judge": 0.16, "replicate": 0.25, "judge": 0.49}
    covered = dict.fromkeys(truth, 0)
    runs = 40
    for seed in range(runs):
        found = components(
            simulate_ratings(Truth(judges=EIGHT_JUDGES[:5], replicates=2, missing=0.2, rounded=False, seed=seed))
        )
        for name, variance in truth.items():
            covered[name] += found[name]["low"] <= variance <= found[name]["high"]  # type: ignore[operator]
    assert min(covered.values()) >= 34, covered


def test_the_shares_add_up_to_one() -> None:
    found = components(simulate_ratings(Truth(templates=("t1", "t2", "t3"), template=0.3, replicates=2)))
    assert sum(row["share"] for row in found.values()) == pytest.approx(1.0)  # type: ignore[misc]
    assert list(found) == [
        "essay",
        "template",
        "essay × template",
        "judge",
        "essay × judge",
        "template × judge",
        "essay × template × judge",
        "replicate",
    ]


def test_without_replicates_the_noise_is_said_to_be_in_the_highest_interaction() -> None:
    found = components(simulate_ratings(Truth()))
    assert found["replicate"]["estimate"] is None
    assert "contains the noise" in str(found["essay × judge"]["note"])


def test_two_judges_give_no_judge_component() -> None:
    found = components(simulate_ratings(Truth(judges=("judge-a", "judge-b"))))
    assert found["judge"]["estimate"] is None
    assert found["judge"]["low"] is None
    assert "2 judges are too few" in str(found["judge"]["note"])
    assert "shares leave out judge" in str(found["essay"]["note"])


def test_one_judge_and_no_replicates_measure_nothing() -> None:
    found = components(simulate_ratings(Truth(judges=("judge-a",))))
    assert found["essay"]["estimate"] is None
    assert "one rating per essay" in str(found["essay"]["note"])


def d_study(ratings: pl.DataFrame, draws: int = 200) -> pl.DataFrame:
    return build_d_study(ratings, draws)


def test_the_d_study_gives_the_reliability_that_follows_from_the_truth() -> None:
    ratings = simulate_ratings(Truth(n_combos=400, judges=EIGHT_JUDGES, replicates=2, rounded=False, seed=2, judge=0.0))
    row = d_study(ratings, 50).filter(n_judges=3, n_replicates=2).row(0, named=True)
    assert row["e_rho2"] == pytest.approx(1 / (1 + 0.16 / 3 + 0.25 / 6), abs=0.02)
    assert row["phi"] == pytest.approx(row["e_rho2"], abs=0.02)


def test_more_judges_are_more_reliable_and_cost_more() -> None:
    table = d_study(simulate_ratings(Truth())).sort("n_judges")
    assert table["phi"].is_sorted()
    assert table["cost_usd_per_essay"].to_list() == pytest.approx([0.0004 * n for n in range(1, 13)])


def test_the_cheapest_panel_reaches_the_wanted_phi_and_no_cheaper_one_does() -> None:
    table = d_study(simulate_ratings(Truth(judges=EIGHT_JUDGES, replicates=2)))
    cheapest = table.filter("is_cheapest").row(0, named=True)
    assert table["is_cheapest"].sum() == 1
    assert cheapest["phi"] >= 0.8
    assert (table.filter(pl.col("phi") >= 0.8)["cost_usd_per_essay"] >= cheapest["cost_usd_per_essay"] - 1e-12).all()


def test_without_known_costs_the_panel_with_fewest_ratings_is_the_cheapest() -> None:
    ratings = simulate_ratings(Truth(judges=EIGHT_JUDGES)).with_columns(cost_usd=pl.lit(None, dtype=pl.Float64))
    table = d_study(ratings)
    assert table["cost_usd_per_essay"].null_count() == table.height
    assert table.filter("is_cheapest")["ratings_per_essay"].item() == (
        table.filter(pl.col("phi") >= 0.8)["ratings_per_essay"].min()
    )


def test_the_current_panel_is_marked() -> None:
    row = d_study(simulate_ratings(Truth(replicates=2, missing=0.1))).filter("is_current").row(0, named=True)
    assert (row["n_templates"], row["n_judges"], row["n_replicates"]) == (1, 4, 2)


@pytest.mark.parametrize(
    ("judges", "replicates", "why"),
    [
        (("judge-a", "judge-b"), 1, "2 judges are too few"),
        (("judge-a",), 2, "one judge says nothing about others"),
    ],
)
def test_few_judges_give_no_phi_and_no_cheapest_panel(judges: tuple[str, ...], replicates: int, why: str) -> None:
    table = d_study(simulate_ratings(Truth(judges=judges, replicates=replicates)))
    assert table["phi"].null_count() == table.height
    assert not table["is_cheapest"].any()
    assert all(why in note for note in table["note"])


def test_the_interval_of_phi_from_three_judges_is_wide() -> None:
    table = d_study(simulate_ratings(Truth(n_combos=300, judges=EIGHT_JUDGES[:3])))
    row = table.filter("is_current").row(0, named=True)
    assert row["phi_high"] - row["phi_low"] > 0.3
    assert row["e_rho2_high"] - row["e_rho2_low"] < 0.1


def test_two_templates_are_taken_as_the_only_ones() -> None:
    table = d_study(simulate_ratings(Truth(templates=("t1", "t2"), template=0.5)))
    assert table["n_templates"].unique().to_list() == [2]
    assert all("for these 2 templates only" in note for note in table["note"])
    assert table["phi"].null_count() == table.height or table["phi"].max() > 0.5  # type: ignore[operator]


@pytest.mark.parametrize(
    "ratings",
    [
        simulate_ratings(Truth(n_combos=1, essays_per_combo=1)),
        simulate_ratings(Truth()).with_columns(value=pl.lit(5.0)),
        simulate_ratings(Truth(missing=0.97, seed=1)),
    ],
)
def test_poor_data_give_rows_without_numbers_that_are_not_there(ratings: pl.DataFrame) -> None:
    for table in (build_variance_components(ratings, 50), build_d_study(ratings, 50)):
        assert table.height > 0
        for row in table.to_dicts():
            assert not any(isinstance(cell, float) and not math.isfinite(cell) for cell in row.values())


def test_no_ratings_give_headers_with_the_right_types() -> None:
    nothing = simulate_ratings(Truth(missing=1.0))
    assert dict(build_variance_components(nothing).schema) == VARIANCE_COMPONENTS_SCHEMA
    assert dict(build_d_study(nothing).schema) == D_STUDY_SCHEMA
