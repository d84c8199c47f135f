from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.concept_effects import CONCEPT_EFFECTS_SCHEMA, build_concept_effects

from .simulated import Truth, concept_pairs, simulate_ratings

PAIRS = list(combinations(range(8), 2))


def planted(main: dict[int, float], pair: dict[tuple[int, int], float], seed: int, **truth: object) -> pl.DataFrame:
    """Ratings of all 28 pairs of 8 concepts with the given effects, and .3 of scatter between combinations."""
    rng = np.random.default_rng(seed)
    effects = np.array([main.get(a, 0.0) + main.get(b, 0.0) + pair.get((a, b), 0.0) for a, b in PAIRS])
    known: dict[str, object] = {"n_combos": 28, "essay": 0.3, "rounded": False, "seed": seed}
    return simulate_ratings(Truth(**(known | truth)), effects + rng.normal(size=28) * 0.3)  # type: ignore[arg-type]


def effects(ratings: pl.DataFrame, kind: str) -> dict[tuple[str, ...], dict[str, object]]:
    table = build_concept_effects(ratings, concept_pairs(8)).filter(pl.col("effect") == kind)
    return {(row["concept_a"], row["concept_b"]): row for row in table.to_dicts()}


def test_a_planted_main_effect_is_found_and_lies_in_its_interval() -> None:
    """Effects are relative to the average concept, so a planted one of 1.1 among eight is 1.1 x 7/8."""
    covered, found = 0, 0
    for seed in range(40):
        rows = effects(planted({0: 1.1}, {}, seed, missing=0.1), "main")
        row = rows["concept-00", None]  # type: ignore[index]
        covered += row["low"] <= 1.1 * 7 / 8 <= row["high"]  # type: ignore[operator]
        found += row["p_fdr"] < 0.05  # type: ignore[operator]
    assert covered >= 35
    assert found >= 38


def test_a_planted_pair_effect_is_found_and_is_the_only_one() -> None:
    found, false = 0, 0
    runs = 40
    for seed in range(runs):
        rows = effects(planted({0: 0.7}, {(2, 3): 2.5}, seed), "pair")
        row = rows.pop(("concept-02", "concept-03"))
        found += row["p_fdr"] < 0.05  # type: ignore[operator]
        false += any(other["p_fdr"] < 0.05 for other in rows.values())  # type: ignore[operator]
    assert found >= 36
    assert false <= 6


def test_null_data_are_called_an_effect_in_five_percent_of_tests() -> None:
    """Unequal groups, too: a fifth of the ratings is missing."""
    p: dict[str, list[float]] = {"main": [], "pair": []}
    families = {"main": 0, "pair": 0}
    runs = 60
    for seed in range(runs):
        ratings = planted({}, {}, 500 + seed, missing=0.2, judges=("judge-a", "judge-b"))
        for kind, values in p.items():
            rows = effects(ratings, kind).values()
            values += [row["p"] for row in rows]  # type: ignore[misc]
            families[kind] += min(row["p_fdr"] for row in rows) < 0.05  # type: ignore[operator, type-var]
    for kind, values in p.items():
        assert 0.03 <= np.mean(np.array(values) < 0.05) <= 0.07, kind
        assert families[kind] <= 8, kind


def test_main_effects_add_up_to_zero_and_are_those_of_least_squares() -> None:
    ratings = planted({1: 0.5}, {}, 3)
    rows = effects(ratings, "main")
    estimates = np.array([row["estimate"] for row in rows.values()])
    assert estimates.sum() == pytest.approx(0, abs=1e-9)
    combos = ratings.group_by("combo_id").agg(pl.col("value").mean()).sort("combo_id")["value"].to_numpy()
    design = np.zeros((28, 8))
    for index, pair in enumerate(PAIRS):
        design[index, list(pair)] = 1
    solution = np.linalg.lstsq(design, combos, rcond=None)[0]
    assert estimates == pytest.approx(solution - solution.mean())


def test_a_pair_effect_of_one_combination_is_its_deleted_residual() -> None:
    """With two concepts per combination a pair is one combination: its effect is what it lacks without itself."""
    ratings = planted({}, {(0, 1): 1.0}, 4)
    combos = ratings.group_by("combo_id").agg(pl.col("value").mean()).sort("combo_id")["value"].to_numpy()
    design = np.zeros((28, 8))
    for index, pair in enumerate(PAIRS):
        design[index, list(pair)] = 1
    solution = np.linalg.lstsq(design[1:], combos[1:], rcond=None)[0]
    row = effects(ratings, "pair")["concept-00", "concept-01"]
    assert row["estimate"] == pytest.approx(combos[0] - design[0] @ solution)
    assert (row["n_clusters"], row["n_clusters_total"]) == (1, 28)


def test_concepts_that_always_come_together_are_not_told_apart() -> None:
    ratings = simulate_ratings(Truth(n_combos=4))
    rows = [(f"combo_{c:05d}", name) for c, names in enumerate(["ab", "cd", "ab", "cd"]) for name in names]
    table = build_concept_effects(ratings, pl.DataFrame(rows, schema=["combo_id", "concept_id"], orient="row"))
    main = table.filter(pl.col("effect") == "main")
    assert main["estimate"].null_count() == main.height == 4
    assert all("not estimable" in note for note in main["note"])


def test_too_few_combinations_give_no_numbers() -> None:
    ratings = simulate_ratings(Truth(n_combos=3))
    table = build_concept_effects(ratings, concept_pairs(3))
    assert table["p"].null_count() == table.height
    assert table["low"].null_count() == table.height


def test_combinations_of_three_have_pairs_in_several_of_them() -> None:
    triples = list(combinations(range(7), 3))
    rng = np.random.default_rng(1)
    truth = np.array([1.5 * ({0, 1} <= set(triple)) for triple in triples]) + rng.normal(size=35) * 0.2
    ratings = simulate_ratings(Truth(n_combos=35, rounded=False, essay=0.2), truth)
    rows = [(f"combo_{c:05d}", f"concept-{x}") for c, triple in enumerate(triples) for x in triple]
    table = build_concept_effects(ratings, pl.DataFrame(rows, schema=["combo_id", "concept_id"], orient="row"))
    pair = table.filter(pl.col("effect") == "pair").sort("p").row(0, named=True)
    assert (pair["concept_a"], pair["concept_b"], pair["n_clusters"]) == ("concept-0", "concept-1", 5)
    assert pair["low"] < 1.5 < pair["high"]


def test_all_scores_equal_have_no_effect_and_no_p() -> None:
    ratings = simulate_ratings(Truth(n_combos=28)).with_columns(value=pl.lit(5.0))
    table = build_concept_effects(ratings, concept_pairs(8))
    assert table["estimate"].abs().max() < 1e-9  # type: ignore[operator]
    assert table["p"].null_count() == table.height


def test_unknown_combinations_give_a_header_with_the_right_types() -> None:
    table = build_concept_effects(simulate_ratings(Truth(n_combos=3)), concept_pairs(3).head(0))
    assert table.height == 0
    assert dict(table.schema) == CONCEPT_EFFECTS_SCHEMA
    for row in build_concept_effects(simulate_ratings(Truth(n_combos=28)), concept_pairs(8)).to_dicts():
        assert not any(isinstance(cell, float) and not math.isfinite(cell) for cell in row.values())
