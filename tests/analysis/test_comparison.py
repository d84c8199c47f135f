from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.comparison import COMPARISON_SCHEMA, Side, compare, compare_levels
from daydreaming_dagster.analysis.statistics.permutation import compute_label_swap_p

from .simulated import Truth, simulate_ratings

TWO_WRITERS = ("writer-a", "writer-b")


def one_row(table: pl.DataFrame) -> dict[str, object]:
    (row,) = table.to_dicts()
    return row


def writers(seed: int, **truth: object) -> pl.DataFrame:
    known: dict[str, object] = {"n_combos": 20, "essays_per_combo": 2, "generators": TWO_WRITERS, "seed": seed}
    return simulate_ratings(Truth(**(known | truth)))  # type: ignore[arg-type]


def test_the_effect_of_a_worked_example_weighs_combinations_equally() -> None:
    ratings = writers(1, judges=("judge-a", "judge-b"), missing=0.0)
    by_combo = ratings.pivot("generator_model", index="combo_id", values="value", aggregate_function="mean")
    row = one_row(compare_levels(ratings, "generator_model"))
    assert row["effect"] == pytest.approx((by_combo["writer-a"] - by_combo["writer-b"]).mean())
    assert row["mean_a"] == pytest.approx(by_combo["writer-a"].mean())
    assert (row["design"], row["n_clusters"], row["n_a"], row["n_b"]) == ("paired", 20, 40, 40)
    assert row["p_holm"] == row["p"]


def test_a_planted_difference_lies_in_the_interval_and_is_found() -> None:
    covered, found = 0, 0
    for seed in range(60):
        ratings = writers(seed, generator_effects={"writer-a": 0.8}, missing=0.2, rounded=False)
        row = one_row(compare_levels(ratings, "generator_model", draws=300))
        covered += row["low"] <= 0.8 <= row["high"]  # type: ignore[operator]
        found += row["p"] < 0.05  # type: ignore[operator]
    assert covered >= 53
    assert found >= 54


def test_null_data_are_called_different_in_five_percent_of_runs() -> None:
    runs, found = 300, 0
    for seed in range(runs):
        ratings = writers(seed, judges=("judge-a", "judge-b"), missing=0.2)
        found += one_row(compare_levels(ratings, "generator_model", draws=50))["p"] < 0.05  # type: ignore[operator]
    assert 0.025 <= found / runs <= 0.075


def test_many_ratings_of_few_combinations_do_not_make_a_difference_certain() -> None:
    """Combinations that favour one writer by chance: six of them, two hundred ratings each."""
    rng = np.random.default_rng(3)
    judges = tuple(f"judge-{number:02d}" for number in range(50))
    found, runs = 0, 60
    for seed in range(runs):
        ratings = writers(seed, n_combos=6, judges=judges, noise=0.3, judge=0.1, interaction=0.1, rounded=False)
        favour = pl.DataFrame({"combo_id": [f"combo_{c:05d}" for c in range(6)], "favour": rng.normal(size=6)})
        tilted = ratings.join(favour, on="combo_id").with_columns(
            value=pl.col("value") + pl.col("favour") * (pl.col("generator_model") == "writer-a")
        )
        found += one_row(compare_levels(tilted, "generator_model", draws=50))["p"] < 0.05  # type: ignore[operator]
    assert found <= 6


def test_p_values_are_adjusted_for_everything_asked_together() -> None:
    ratings = writers(2, generators=("writer-a", "writer-b", "writer-c"), essays_per_combo=3)
    table = compare_levels(ratings, "generator_model")
    assert table.height == 3
    smallest = table.sort("p").row(0, named=True)
    assert smallest["p_holm"] == pytest.approx(min(1.0, 3 * smallest["p"]))
    alone = one_row(compare_levels(ratings, "generator_model", [(smallest["a"], smallest["b"])]))
    assert alone["p_holm"] == alone["p"] == smallest["p"]


def test_equivalence_needs_the_ninety_percent_interval_inside_the_margin() -> None:
    ratings = writers(5, n_combos=80, essay=0.2, noise=0.2)
    assert one_row(compare_levels(ratings, "generator_model", margin=0.5))["is_equivalent"] is True
    assert one_row(compare_levels(ratings, "generator_model", margin=0.01))["is_equivalent"] is False
    assert one_row(compare_levels(ratings, "generator_model"))["is_equivalent"] is None


def test_judges_are_compared_on_the_same_essays() -> None:
    ratings = simulate_ratings(Truth(judge=0.0, rounded=False)).with_columns(
        value=pl.when(pl.col("judge_model") == "judge-b").then(pl.col("value") - 1.0).otherwise("value")
    )
    # judge-b did not see the best essays, by the opinion of a third judge.
    third = ratings.filter(pl.col("judge_model") == "judge-c").sort("value")
    best = pl.col("essay_gen_id").is_in(third["essay_gen_id"].tail(60).to_list())
    seen = ratings.filter(~((pl.col("judge_model") == "judge-b") & best))
    row = one_row(compare_levels(seen, "judge_model", [("judge-a", "judge-b")]))
    assert row["low"] < 1.0 < row["high"]  # type: ignore[operator]
    assert row["n_a"] == row["n_b"]
    assert str(row["note"]).startswith("60 ratings without a counterpart left out; the essays in common had")


def test_templates_that_measure_different_things_are_not_comparable() -> None:
    ratings = pl.concat(
        [
            simulate_ratings(Truth(templates=("nov",))),
            simulate_ratings(Truth(templates=("coh",), construct="coherence")),
        ]
    )
    row = one_row(compare_levels(ratings, "evaluation_template"))
    assert row["is_comparable"] is False
    assert row["note"] == (
        "not comparable because they measure different things: coh is about coherence, nov about novelty_judged"
    )
    assert row["effect"] is None


def test_two_versions_of_a_rubric_are_compared_on_the_same_essay_and_judge() -> None:
    ratings = simulate_ratings(Truth(templates=("nov-1", "nov-2"), rounded=False)).with_columns(
        value=pl.when(pl.col("evaluation_template") == "nov-2").then(pl.col("value") + 0.5).otherwise("value")
    )
    row = one_row(compare_levels(ratings, "evaluation_template"))
    assert row["low"] < -0.5 < row["high"]  # type: ignore[operator]
    assert row["high"] - row["low"] < 0.2  # type: ignore[operator]


def test_sides_that_no_evaluator_rated_both_are_not_comparable() -> None:
    ratings = writers(1)
    mine = ratings.filter((pl.col("generator_model") == "writer-a") == (pl.col("judge_model") < "judge-c"))
    row = one_row(compare_levels(mine, "generator_model"))
    assert row["is_comparable"] is False
    assert row["note"] == (
        "not comparable because no evaluator rated both sides (judges: judge-a, judge-b against judge-c, judge-d)"
    )


def test_sides_without_a_common_combination_are_compared_unpaired() -> None:
    covered = 0
    for seed in range(40):
        ratings = writers(seed, n_combos=60, generator_effects={"writer-a": 1.0}, rounded=False, missing=0.1)
        early = pl.col("combo_id") < "combo_00030"
        apart = ratings.filter((pl.col("generator_model") == "writer-a") == early)
        row = one_row(compare_levels(apart, "generator_model", draws=300))
        assert row["design"] == "unpaired"
        assert row["n_clusters"] == 60
        covered += row["low"] <= 1.0 <= row["high"]  # type: ignore[operator]
    assert covered >= 35


def test_what_differs_besides_is_said() -> None:
    ratings = writers(1).with_columns(
        draft_template=pl.when(pl.col("generator_model") == "writer-a").then(pl.lit("d1")).otherwise(pl.lit("d2"))
    )
    row = one_row(compare_levels(ratings, "generator_model"))
    assert row["is_comparable"] is True
    assert "also differ in draft_template" in str(row["note"])


def test_a_model_that_wrote_with_more_templates_is_compared_on_the_common_ones() -> None:
    """writer-a wrote with a bad template, too, which writer-b never had to use."""
    ratings = writers(1, rounded=False)
    bad = ratings.filter(pl.col("generator_model") == "writer-a").with_columns(
        draft_template=pl.lit("bad"),
        value=pl.col("value") - 3,
        essay_gen_id=pl.format("{}-bad", "essay_gen_id"),
        gen_id=pl.format("{}-bad", "gen_id"),
    )
    with_bad = one_row(compare_levels(pl.concat([ratings, bad]), "generator_model"))
    assert with_bad["effect"] == pytest.approx(one_row(compare_levels(ratings, "generator_model"))["effect"])


def test_two_cohorts_given_as_frames_are_matched_on_everything() -> None:
    ratings = writers(4)
    better = ratings.with_columns(value=pl.col("value") + 0.5, gen_id=pl.format("{}-2", "gen_id"))
    row = one_row(compare(Side("cohort-2", better), Side("cohort-1", ratings)))
    assert row["effect"] == pytest.approx(0.5)
    assert (row["a"], row["b"]) == ("cohort-2", "cohort-1")


def test_a_side_without_ratings_is_named() -> None:
    ratings = writers(1)
    row = one_row(compare(Side("mine", ratings), Side("yours", ratings.head(0))))
    assert row["note"] == "not comparable because yours has no ratings"
    both = one_row(compare(Side("mine", ratings.head(0)), Side("yours", ratings.head(0))))
    assert both["note"] == "not comparable because mine and yours have no ratings"


def test_a_construct_of_one_side_only_is_a_row_that_says_so() -> None:
    ratings = writers(1)
    own = [writers(seed, construct=construct) for seed, construct in ((2, "novelty_judged"), (3, "coherence"))]
    more = pl.concat(own).with_columns(pl.format("mine-{}", "gen_id").alias("gen_id"))
    table = compare(Side("mine", more), Side("yours", ratings))
    row = table.filter(pl.col("construct") == "coherence").row(0, named=True)
    assert row["is_comparable"] is False
    assert row["note"] == "not comparable because yours has no ratings of coherence"


def test_few_combinations_have_a_p_and_no_interval() -> None:
    row = one_row(compare_levels(writers(1, n_combos=4), "generator_model", margin=1.0))
    assert row["low"] is None
    assert row["is_equivalent"] is None
    assert 0.125 <= row["p"] <= 1  # type: ignore[operator]
    assert "fewer than 5" in str(row["note"])


def test_no_ratings_give_a_header_with_the_right_types() -> None:
    table = compare_levels(writers(1).head(0), "generator_model")
    assert table.height == 0
    assert dict(table.schema) == COMPARISON_SCHEMA


@pytest.mark.parametrize(("sizes", "spreads"), [((8, 12), (1.0, 1.0)), ((6, 24), (1.5, 0.7)), ((6, 24), (0.7, 1.5))])
def test_relabelling_calls_null_data_different_in_five_percent_of_runs(
    sizes: tuple[int, int], spreads: tuple[float, float]
) -> None:
    rng = np.random.default_rng(2)
    runs = 500
    found = 0
    for run in range(runs):
        first, second = (rng.normal(0, spread, size) for size, spread in zip(sizes, spreads, strict=True))
        found += compute_label_swap_p(first, second, permutations=199, seed=run) < 0.05
    assert 0.02 <= found / runs <= 0.09


def test_relabelling_of_groups_that_do_not_scatter_compares_their_means() -> None:
    two, one = np.full(5, 2.0), np.ones(5)
    assert compute_label_swap_p(two, one) < 0.02
    assert compute_label_swap_p(two, two) == 1.0
    assert compute_label_swap_p(np.array([2.0]), np.array([1.0, 1.2, 0.8])) == pytest.approx(0.25, abs=0.02)
    assert math.isnan(compute_label_swap_p(np.empty(0), np.ones(3)))
