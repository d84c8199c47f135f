from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.agreement import AGREEMENT_SCHEMA, build_agreement, flag_agreement
from daydreaming_dagster.analysis.statistics.agreement import compute_krippendorff_alpha

from .simulated import Truth, simulate_ratings


def figures(table: pl.DataFrame) -> dict[str, dict[str, object]]:
    """Rows by statistic, the last of those that are per judge or pair."""
    return {row["statistic"]: row for row in table.to_dicts()}


def test_alpha_of_the_table_is_that_of_the_matrix_of_ratings() -> None:
    ratings = simulate_ratings(Truth(missing=0.2, seed=3))
    matrix = (
        ratings.pivot("essay_gen_id", index="judge_model", values="value", aggregate_function="first")
        .drop("judge_model")
        .to_numpy()
        .astype(float)
    )
    found = figures(build_agreement(ratings, draws=100))
    for level in ("ordinal", "interval"):
        row = found[f"krippendorff_alpha_{level}"]
        assert row["estimate"] == pytest.approx(compute_krippendorff_alpha(matrix, level))  # type: ignore[arg-type]
        assert row["n_clusters"] == 60
        assert row["n_judges"] == 4


def test_planted_agreement_lies_in_the_intervals() -> None:
    """One point of true variance, .5 of severity and .5 of noise: ICC(A,1) is .5, ICC(C,k) of four judges 8/9."""
    covered = {"icc_a1": 0, "icc_ck": 0}
    runs = 40
    for seed in range(runs):
        truth = Truth(
            combo=math.sqrt(0.5),
            essay=math.sqrt(0.5),
            judge=math.sqrt(0.5),
            interaction=0.0,
            noise=math.sqrt(0.5),
            rounded=False,
            seed=seed,
        )
        found = figures(build_agreement(simulate_ratings(truth), draws=300))
        for statistic, true in (("icc_a1", 0.5), ("icc_ck", 8 / 9)):
            row = found[statistic]
            covered[statistic] += row["low"] <= true <= row["high"]  # type: ignore[operator]
    assert min(covered.values()) >= 35


def test_judges_that_agree_on_nothing_have_an_alpha_around_zero() -> None:
    ratings = simulate_ratings(Truth(combo=0, essay=0, judge=0, interaction=0, noise=1.5, seed=1))
    row = figures(build_agreement(ratings, draws=300))["krippendorff_alpha_interval"]
    assert row["low"] < 0 < row["high"]  # type: ignore[operator]
    assert row["flag"] == "low"


def test_two_judges_give_no_number_about_judges_in_general() -> None:
    found = figures(build_agreement(simulate_ratings(Truth(judges=("judge-a", "judge-b"))), draws=100))
    assert found["icc_a1"]["estimate"] is None
    assert found["icc_ak"]["note"] == "not estimable: 2 judges are too few for a variance between them"
    assert found["icc_ck"]["estimate"] is not None
    assert found["weighted_kappa"]["estimate"] is not None


def test_one_judge_with_replicates_agrees_only_with_itself() -> None:
    found = figures(build_agreement(simulate_ratings(Truth(judges=("judge-a",), replicates=3)), draws=100))
    for statistic in ("krippendorff_alpha_ordinal", "icc_a1", "icc_ak", "icc_ck", "kendall_w"):
        assert found[statistic]["estimate"] is None
        assert "one judge" in str(found[statistic]["note"])
    assert found["intra_judge_alpha"]["estimate"] > 0.5  # type: ignore[operator]
    assert "weighted_kappa" not in found


def test_replicates_are_not_taken_for_more_judges() -> None:
    """Replicates that repeat the first score must not make judges agree better."""
    ratings = simulate_ratings(Truth(seed=5))
    copies = ratings.with_columns(replicate=pl.lit(2, dtype=pl.Int64), gen_id=pl.format("{}-again", "gen_id"))
    once, twice = (figures(build_agreement(frame, draws=200)) for frame in (ratings, pl.concat([ratings, copies])))
    for statistic in ("krippendorff_alpha_ordinal", "icc_ck", "kendall_w", "weighted_kappa"):
        assert twice[statistic]["estimate"] == pytest.approx(once[statistic]["estimate"], abs=1e-3), statistic
        assert twice[statistic]["low"] == pytest.approx(once[statistic]["low"], abs=2e-2), statistic
    assert twice["kendall_w"]["n_judges"] == 4
    assert twice["intra_judge_alpha"]["estimate"] == 1.0


def test_constructs_are_kept_apart() -> None:
    both = pl.concat([simulate_ratings(Truth(seed=1)), simulate_ratings(Truth(seed=2, construct="coherence"))])
    table = build_agreement(both, draws=50)
    assert table["construct"].unique().sort().to_list() == ["coherence", "novelty_judged"]
    alone = build_agreement(simulate_ratings(Truth(seed=1)), draws=50)
    assert table.filter(pl.col("construct") == "novelty_judged").equals(alone)


@pytest.mark.parametrize(("estimate", "flag"), [(0.6, "low"), (0.7, "tentative"), (0.9, "reliable"), (math.nan, None)])
def test_the_flag_follows_the_published_limits(estimate: float, flag: str | None) -> None:
    assert flag_agreement(estimate) == flag


@pytest.mark.parametrize(
    "ratings",
    [
        simulate_ratings(Truth(n_combos=1, essays_per_combo=1)),
        simulate_ratings(Truth(n_combos=3)),
        simulate_ratings(Truth()).with_columns(value=pl.lit(5.0)),
        simulate_ratings(Truth(missing=1.0)),
    ],
)
def test_poor_data_give_rows_without_numbers_that_are_not_there(ratings: pl.DataFrame) -> None:
    for row in build_agreement(ratings, draws=50).to_dicts():
        assert all(cell is None or not isinstance(cell, float) or np.isfinite(cell) for cell in row.values())
        if row["estimate"] is None:
            assert row["note"]
        if row["n_clusters"] < 5:
            assert row["low"] is None


def test_no_ratings_give_a_header_with_the_right_types() -> None:
    assert dict(build_agreement(simulate_ratings(Truth()).head(0)).schema) == AGREEMENT_SCHEMA
