from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.ranking import RANKING_SCHEMA, build_ranking

from .simulated import Truth, simulate_ratings


def level(table: pl.DataFrame, name: str) -> pl.DataFrame:
    return table.filter(pl.col("level") == name)


def test_the_best_of_a_hundred_looked_better_than_they_are_and_the_shrunken_estimates_do_not() -> None:
    """A hundred combinations with 44 ratings each: four essays, eleven judges."""
    judges = tuple(f"judge-{number:02d}" for number in range(11))
    raw, shrunken, true, covered, chances, hits = [], [], [], [], [], []
    for seed in range(25):
        truth = np.random.default_rng(1000 + seed).normal(size=100) * 0.4
        ratings = simulate_ratings(
            Truth(n_combos=100, essays_per_combo=4, judges=judges, essay=0.8, rounded=False, seed=seed), truth
        )
        combos = level(build_ranking(ratings, top_k=10), "combination")
        truth_of = {f"combo_{number:05d}": value - truth.mean() for number, value in enumerate(truth)}
        actual = np.array([truth_of[name] for name in combos["id"]])
        middle = combos["raw_mean"].mean()
        raw.append(combos.sort("raw_rank")["raw_mean"].head(3).mean() - middle)  # type: ignore[operator]
        shrunken.append(combos["shrunken"].head(3).mean() - combos["shrunken"].mean())  # type: ignore[operator]
        true.append(actual[:3].mean())
        inside = (combos["low"].to_numpy() - middle <= actual) & (actual <= combos["high"].to_numpy() - middle)
        covered.append(inside.mean())
        chances.append(combos["p_top_k"].head(10).mean())
        truly_best = {f"combo_{number:05d}" for number in np.argsort(truth)[-10:]}
        hits.append(np.mean([name in truly_best for name in combos["id"].head(10)]))
    assert np.mean(raw) > np.mean(true) + 0.4
    assert np.mean(shrunken) == pytest.approx(np.mean(true), abs=0.12)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(chances) == pytest.approx(np.mean(hits), abs=0.08)


def test_a_worked_example_without_gaps_keeps_the_plain_means() -> None:
    ratings = simulate_ratings(Truth(n_combos=10, seed=2))
    table = level(build_ranking(ratings), "essay")
    means = ratings.group_by("essay_gen_id").agg(pl.col("value").mean()).rename({"essay_gen_id": "id"})
    joined = table.join(means, on="id")
    assert joined["raw_mean"].to_list() == pytest.approx(joined["value"].to_list())
    assert joined["adjusted_mean"].to_list() == pytest.approx(joined["value"].to_list())
    assert table["k"].unique().to_list() == [3]
    assert table["p_top_k"].sum() == pytest.approx(3)
    assert table["n"].unique().to_list() == [4]


def test_an_essay_that_only_the_strict_judge_saw_is_not_punished() -> None:
    """Two essays of the same quality; the first lacks its lenient judge's rating."""
    ratings = simulate_ratings(Truth(n_combos=20, essays_per_combo=1, judges=("judge-a", "judge-b"), rounded=False))
    value = pl.when(pl.col("judge_model") == "judge-a").then(3.0).otherwise(7.0)
    noise = pl.when(pl.col("combo_id").is_in(["combo_00007"])).then(0.2).otherwise(0.0)
    planted = ratings.with_columns(value=value + noise).filter(
        ~((pl.col("essay_gen_id") == "e_000000") & (pl.col("judge_model") == "judge-b"))
    )
    rows = {row["id"]: row for row in level(build_ranking(planted), "essay").to_dicts()}
    assert rows["e_000000"]["raw_mean"] == 3.0
    assert rows["e_000000"]["adjusted_mean"] == pytest.approx(5.0)
    assert rows["e_000000"]["n_evaluators"] == 1


def test_a_combination_that_only_the_weak_model_wrote_is_not_punished() -> None:
    ratings = simulate_ratings(
        Truth(n_combos=40, combo=0.0, essay=0.1, noise=0.1, generator_effects={"writer-c": -3.0}, rounded=False)
    )
    only_weak = ratings.filter((pl.col("combo_id") != "combo_00000") | (pl.col("generator_model") == "writer-c"))
    row = level(build_ranking(only_weak), "combination").filter(pl.col("id") == "combo_00000").row(0, named=True)
    assert row["raw_mean"] < 2.5
    assert row["adjusted_mean"] == pytest.approx(3.5, abs=0.5)


def test_leaving_out_the_own_family_takes_its_favour_away() -> None:
    truth = Truth(
        n_combos=40,
        families={"judge-a": "X", "writer-a": "X"},
        self_preference={"judge-a": 4.0},
        rounded=False,
        interaction=0.1,
        noise=0.1,
    )
    table = level(build_ranking(simulate_ratings(truth)), "essay")
    gap = table.with_columns(gap=pl.col("shrunken") - pl.col("other_family_shrunken"))
    means = dict(gap.group_by("generator_model").agg(pl.col("gap").mean()).rows())
    assert means["writer-a"] - means["writer-b"] == pytest.approx(1.0, abs=0.35)
    assert table.filter(pl.col("generator_model") == "writer-a")["n_other_family"].unique().to_list() == [3]


def test_replicates_do_not_give_a_judge_more_say() -> None:
    ratings = simulate_ratings(Truth(n_combos=10, seed=4))
    extra = ratings.filter(pl.col("judge_model") == "judge-a")
    again = [
        extra.with_columns(
            replicate=pl.lit(number, dtype=pl.Int64), gen_id=pl.format("{}-{}", "gen_id", pl.lit(number))
        )
        for number in (2, 3, 4)
    ]
    many = pl.concat([ratings, *again])
    once, often = (build_ranking(frame).sort("level", "id") for frame in (ratings, many))
    assert often["adjusted_mean"].to_list() == pytest.approx(once["adjusted_mean"].to_list())
    assert level(often, "essay")["n"].unique().to_list() == [7]


def test_estimates_and_their_intervals_stay_on_the_scale() -> None:
    ratings = simulate_ratings(Truth(n_combos=12, seed=3)).with_columns(value=(pl.col("value") + 3).clip(0, 9))
    table = build_ranking(ratings)
    for name in ("shrunken", "low", "high", "other_family_shrunken", "other_family_low", "other_family_high"):
        assert table[name].max() <= 9, name  # type: ignore[operator]
    assert table["high"].max() == 9
    assert table["rank"].n_unique() > 10
    unknown = build_ranking(ratings.with_columns(scale_max=pl.lit(None, dtype=pl.Float64)))
    assert unknown["high"].max() > 9  # type: ignore[operator]


def test_equal_entries_share_a_rank() -> None:
    ratings = simulate_ratings(Truth(n_combos=5)).with_columns(value=pl.lit(5.0))
    assert build_ranking(ratings)["rank"].unique().to_list() == [1]


def test_a_single_judge_gives_no_shrunken_essays_and_says_why() -> None:
    table = level(build_ranking(simulate_ratings(Truth(judges=("judge-a",)))), "essay")
    assert table["shrunken"].null_count() == table.height
    assert all("noise not estimable" in note for note in table["note"])
    assert table["rank"].min() == 1


def test_essays_of_unconnected_judges_are_marked() -> None:
    ratings = simulate_ratings(Truth(n_combos=10, judges=("judge-a", "judge-b", "judge-c", "judge-d")))
    early = pl.col("combo_id") < "combo_00005"
    pair = pl.col("judge_model").is_in(["judge-a", "judge-b"])
    table = build_ranking(ratings.filter(early == pair))
    assert all("share no evaluator" in note for note in level(table, "essay")["note"])


@pytest.mark.parametrize(
    "ratings",
    [
        simulate_ratings(Truth(n_combos=1, essays_per_combo=1)),
        simulate_ratings(Truth(n_combos=1, essays_per_combo=2)),
        simulate_ratings(Truth()).with_columns(value=pl.lit(5.0)),
        simulate_ratings(Truth()).with_columns(same_family=pl.lit(True)),
        simulate_ratings(Truth()).with_columns(combo_id=pl.lit(None, dtype=pl.String)),
    ],
)
def test_poor_data_are_ranked_without_numbers_that_are_not_there(ratings: pl.DataFrame) -> None:
    table = build_ranking(ratings)
    assert table.height > 0
    for row in table.to_dicts():
        assert not any(isinstance(cell, float) and not math.isfinite(cell) for cell in row.values())
        assert row["rank"] is not None


def test_no_ratings_give_a_header_with_the_right_types() -> None:
    assert dict(build_ranking(simulate_ratings(Truth(missing=1.0))).schema) == RANKING_SCHEMA
