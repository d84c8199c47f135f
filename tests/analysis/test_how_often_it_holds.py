"""Promises kept as often as they promise: predictions of the D study, equivalence, effects of concepts, rankings.

Each test simulates cohorts whose truth is known, with fixed seeds. Bounds leave room for chance of that many runs.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.comparison import compare_levels
from daydreaming_dagster.analysis.concept_effects import build_concept_effects
from daydreaming_dagster.analysis.ranking import build_ranking
from daydreaming_dagster.analysis.variance_components import build_d_study

from .simulated import Truth, simulate_ratings

pytestmark = pytest.mark.slow

NEW_JUDGES = 60
"""A whole number of panels of three and of five."""


def realise(seed: int, n_judges: int, panel: int, n_combos: int) -> tuple[dict[str, object], float, float]:
    """What the D study predicts from some judges for a panel of others, and what such panels reach on average.

    Sixty new judges rate the same essays, in panels of their own. E rho² is realised as the squared correlation of a
    panel's means with the essays' true values (the means over all judges there are), phi as the variance of the true
    values over that and the squared error of the panel's means.
    """
    judges = tuple(f"judge-{number:02d}" for number in range(n_judges + NEW_JUDGES))
    truth = Truth(n_combos=n_combos, essays_per_combo=2, judges=judges, rounded=False, seed=seed)
    ratings = simulate_ratings(truth)
    seen = ratings.filter(pl.col("judge_model").is_in(judges[:n_judges]))
    table = ratings.pivot("judge_model", index="essay_gen_id", values="value").drop("essay_gen_id").to_numpy()
    true = table.mean(axis=1)
    panels = [table[:, first : first + panel].mean(axis=1) for first in range(n_judges, table.shape[1], panel)]
    e_rho2 = float(np.mean([np.corrcoef(means, true)[0, 1] ** 2 for means in panels]))
    error = float(np.mean([((means - true) ** 2).mean() for means in panels]))
    spread = float(true.var(ddof=1))
    return build_d_study(seen, 200).filter(n_judges=panel).row(0, named=True), e_rho2, spread / (spread + error)


@pytest.mark.parametrize(("n_judges", "panel", "n_combos"), [(3, 3, 30), (5, 3, 40), (8, 5, 12)])
def test_new_judges_are_as_reliable_as_the_d_study_said(n_judges: int, panel: int, n_combos: int) -> None:
    runs = [realise(seed, n_judges, panel, n_combos) for seed in range(25)]
    for name, place in (("e_rho2", 1), ("phi", 2)):
        predicted = [run[0][name] for run in runs]
        realised = [run[place] for run in runs]
        assert np.median(predicted) == pytest.approx(np.mean(realised), abs=0.05), name  # type: ignore[arg-type]
        held = [run[0][f"{name}_low"] <= run[place] <= run[0][f"{name}_high"] for run in runs]  # type: ignore[operator]
        assert np.mean(held) >= 0.8, name


def share_called_equivalent(
    effect: float, margin: float, runs: int, n_combos: int, n_of_first: int | None = None
) -> float:
    """Of simulated comparisons of two writers; with `n_of_first`, they share no combination, and it has that many."""
    called = 0
    for seed in range(runs):
        ratings = simulate_ratings(
            Truth(
                n_combos=n_combos,
                essays_per_combo=2,
                generators=("a", "b"),
                judges=("judge-a", "judge-b"),
                generator_effects={"a": effect},
                rounded=False,
                seed=seed,
            )
        )
        if n_of_first is not None:
            first = pl.col("combo_id") < f"combo_{n_of_first:05d}"
            ratings = ratings.filter((pl.col("generator_model") == "a") == first)
        row = compare_levels(ratings, "generator_model", margin=margin, draws=300).row(0, named=True)
        called += bool(row["is_equivalent"])
    return called / runs


@pytest.mark.parametrize(("n_combos", "n_of_first"), [(5, None), (8, None), (24, None), (24, 12), (30, 6)])
def test_a_difference_as_large_as_the_margin_is_called_equivalent_in_five_percent(
    n_combos: int, n_of_first: int | None
) -> None:
    assert share_called_equivalent(1.0, 1.0, runs=150, n_combos=n_combos, n_of_first=n_of_first) <= 0.09


def test_a_difference_larger_than_the_margin_is_hardly_ever_called_equivalent() -> None:
    assert share_called_equivalent(1.6, 1.0, runs=60, n_combos=12) == 0


@pytest.mark.parametrize(("n_combos", "least"), [(12, 0.75), (30, 0.97)])
def test_no_difference_is_called_equivalent_where_there_are_enough_combinations(n_combos: int, least: float) -> None:
    assert share_called_equivalent(0.0, 1.0, runs=60, n_combos=n_combos) >= least


@pytest.mark.parametrize(("n_concepts", "size", "missing"), [(4, 2, 0.0), (5, 2, 0.0), (8, 2, 0.3), (7, 3, 0.0)])
def test_effects_of_concepts_lie_in_their_intervals(n_concepts: int, size: int, missing: float) -> None:
    chosen = list(combinations(range(n_concepts), size))
    concepts = pl.DataFrame(
        [(f"combo_{combo:05d}", f"concept-{concept}") for combo, of in enumerate(chosen) for concept in of],
        schema=["combo_id", "concept_id"],
        orient="row",
    )
    held: dict[str, list[bool]] = {"main": [], "pair": []}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        main = rng.normal(size=n_concepts) * 0.5
        main -= main.mean()
        truth = np.array([main[list(of)].sum() for of in chosen]) + rng.normal(size=len(chosen)) * 0.3
        design = Truth(n_combos=len(chosen), essay=0.3, rounded=False, missing=missing, seed=seed)
        for row in build_concept_effects(simulate_ratings(design, truth), concepts).iter_rows(named=True):
            planted = main[int(row["concept_a"][-1])] if row["effect"] == "main" else 0.0
            held[row["effect"]].append(row["low"] <= planted <= row["high"])
    for effect, kept in held.items():
        assert 0.9 <= np.mean(kept) <= 0.985, effect


@pytest.mark.parametrize(("n_combos", "n_judges", "missing"), [(4, 3, 0.0), (6, 3, 0.0), (20, 2, 0.0), (20, 3, 0.3)])
def test_shrunken_estimates_lie_in_their_intervals_however_few_there_are(
    n_combos: int, n_judges: int, missing: float
) -> None:
    held: list[float] = []
    for seed in range(50):
        rng = np.random.default_rng(1000 + seed)
        combo = rng.normal(size=n_combos) * 0.8
        truth = Truth(
            n_combos=n_combos,
            essays_per_combo=2,
            generators=("writer",),
            judges=tuple(f"judge-{number}" for number in range(n_judges)),
            missing=missing,
            rounded=False,
            seed=seed,
        )
        ranking = build_ranking(simulate_ratings(truth, combo))
        entries = ranking.filter(level="combination")
        true = np.array([combo[int(name.removeprefix("combo_"))] for name in entries["id"]])
        # How severe the judges at hand are is nobody's merit: entries are compared with each other.
        true += entries["adjusted_mean"].to_numpy().mean() - true.mean()
        held.append(float(np.mean((entries["low"].to_numpy() <= true) & (true <= entries["high"].to_numpy()))))
    assert 0.91 <= np.mean(held) <= 0.99
