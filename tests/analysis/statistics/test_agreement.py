from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daydreaming_dagster.analysis.statistics.agreement import (
    compute_fleiss_kappa,
    compute_kendall_w,
    compute_krippendorff_alpha,
    compute_weighted_kappa,
    draw_alphas,
    draw_kendall_ws,
    rater_moments,
)
from daydreaming_dagster.analysis.statistics.bootstrap import ClusterBootstrap

KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""

FLEISS = """
0 0 0 0 14
0 2 6 4 2
0 0 3 5 6
0 3 9 2 0
2 2 8 1 1
7 7 0 0 0
3 2 6 3 0
2 5 3 2 2
6 5 2 1 0
0 2 2 3 7
"""

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def table(text: str) -> np.ndarray:
    return np.array(
        [[math.nan if cell == "." else float(cell) for cell in line.split()] for line in text.split("\n") if line]
    )


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.743421), ("ordinal", 0.815388), ("interval", 0.849107), ("ratio", 0.797403)],
)
def test_alpha_of_krippendorffs_example(level: str, alpha: float) -> None:
    assert compute_krippendorff_alpha(table(KRIPPENDORFF), level) == pytest.approx(alpha, abs=5e-7)  # type: ignore[arg-type]


def test_alpha_of_two_observers_and_two_categories() -> None:
    ratings = np.array([[float(c) for c in "0100000010"], [float(c) for c in "1110010000"]])
    assert compute_krippendorff_alpha(ratings, "nominal") == pytest.approx(0.095238, abs=5e-7)


def test_fleiss_kappa_of_the_published_example() -> None:
    assert compute_fleiss_kappa(table(FLEISS)) == pytest.approx(0.2099, abs=5e-5)


def test_kendall_w_of_four_judges_and_six_targets() -> None:
    assert compute_kendall_w(SHROUT_FLEISS.T) == pytest.approx(0.8870, abs=5e-5)
    assert compute_kendall_w(SHROUT_FLEISS) == pytest.approx(0.8672, abs=5e-5)


ratings_on_nine_points = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 4), st.integers(2, 8)),
    elements=st.one_of(st.integers(0, 9).map(float), st.just(math.nan)),
)


@given(ratings_on_nine_points, st.randoms(use_true_random=False))
def test_alpha_does_not_depend_on_the_order_of_raters_and_units(ratings: np.ndarray, random: object) -> None:
    order = list(range(ratings.shape[0]))
    random.shuffle(order)  # type: ignore[attr-defined]
    for level in ("nominal", "ordinal", "interval", "ratio"):
        alpha = compute_krippendorff_alpha(ratings, level)  # type: ignore[arg-type]
        other = compute_krippendorff_alpha(ratings[order][:, ::-1], level)  # type: ignore[arg-type]
        assert other == pytest.approx(alpha, nan_ok=True)


@given(ratings_on_nine_points, st.floats(0.1, 10), st.floats(-50, 50))
def test_alpha_at_interval_level_survives_another_scale(ratings: np.ndarray, factor: float, shift: float) -> None:
    alpha = compute_krippendorff_alpha(ratings, "interval")
    moved = compute_krippendorff_alpha(np.round(ratings * factor + shift, 9), "interval")
    assert moved == pytest.approx(alpha, abs=1e-5, nan_ok=True)


@given(ratings_on_nine_points)
def test_ordinal_alpha_survives_any_rising_map(ratings: np.ndarray) -> None:
    alpha = compute_krippendorff_alpha(ratings, "ordinal")
    assert compute_krippendorff_alpha(np.exp(ratings), "ordinal") == pytest.approx(alpha, nan_ok=True)


def test_perfect_agreement_is_one_and_no_variation_is_undefined() -> None:
    same = np.array([[1.0, 5, 7], [1, 5, 7]])
    assert compute_krippendorff_alpha(same, "ordinal") == 1.0
    assert math.isnan(compute_krippendorff_alpha(np.full((2, 3), 4.0), "ordinal"))
    assert math.isnan(compute_krippendorff_alpha(np.array([[1.0, math.nan], [math.nan, 2.0]]), "interval"))


def test_few_and_many_distinct_values_are_drawn_alike() -> None:
    """A tiny change of each rating makes all values different and must hardly change the interval-level draws."""
    rng = np.random.default_rng(2)
    unit = np.repeat(np.arange(40), 3)
    few = rng.integers(0, 9, 40)[unit] + rng.integers(0, 3, 120).astype(float)
    bootstrap = ClusterBootstrap(10, draws=30, seed=4)
    drawn = draw_alphas(unit, few, "interval", unit // 4, bootstrap)
    many = draw_alphas(unit, few + rng.normal(size=120) * 1e-9, "interval", unit // 4, bootstrap)
    assert many == pytest.approx(drawn, abs=1e-6)


@given(ratings_on_nine_points)
def test_every_draw_of_alpha_is_alpha_of_the_drawn_units(ratings: np.ndarray) -> None:
    rated = ~np.isnan(ratings)
    units = ratings.shape[1]
    unit = np.broadcast_to(np.arange(units), ratings.shape)[rated]
    cluster = np.arange(units) // 2
    bootstrap = ClusterBootstrap(int(cluster.max()) + 1, draws=5, seed=1)
    (weights,) = bootstrap.weights()
    for level in ("ordinal", "interval"):
        drawn = draw_alphas(unit, ratings[rated], level, cluster[unit], bootstrap)  # type: ignore[arg-type]
        for row in range(5):
            repeated = np.repeat(ratings, weights[row][cluster].astype(int), axis=1)
            alpha = compute_krippendorff_alpha(repeated, level)  # type: ignore[arg-type]
            assert drawn[row] == pytest.approx(alpha, nan_ok=True)


@given(st.integers(2, 5), st.permutations(range(6)))
def test_w_is_one_when_all_judges_rank_alike(judges: int, ranks: list[int]) -> None:
    assert compute_kendall_w(np.tile(np.array(ranks, dtype=float), (judges, 1))) == pytest.approx(1.0)


def test_every_draw_of_w_is_w_of_the_drawn_units() -> None:
    bootstrap = ClusterBootstrap(6, draws=20, seed=2)
    (weights,) = bootstrap.weights()
    drawn = draw_kendall_ws(SHROUT_FLEISS, np.arange(6), bootstrap)
    for row in range(20):
        repeated = np.repeat(SHROUT_FLEISS, weights[row].astype(int), axis=0)
        assert drawn[row] == pytest.approx(compute_kendall_w(repeated.T), nan_ok=True)


def test_w_leaves_out_units_that_a_judge_did_not_rate() -> None:
    with_gap = np.vstack([SHROUT_FLEISS, [[1.0, math.nan, 2.0, 3.0]]])
    assert compute_kendall_w(with_gap.T) == compute_kendall_w(SHROUT_FLEISS.T)


def test_weighted_kappa_is_that_of_the_table_of_categories() -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(0, 5, 60).astype(float)
    y = np.clip(x + rng.integers(-1, 2, 60), 0, 4)
    joint = np.zeros((5, 5))
    np.add.at(joint, (x.astype(int), y.astype(int)), 1 / 60)
    weights = (np.arange(5)[:, None] - np.arange(5)[None, :]) ** 2
    chance = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    expected = 1 - (weights * joint).sum() / (weights * chance).sum()
    assert compute_weighted_kappa(rater_moments(x, y).sum(axis=0)) == pytest.approx(expected)


def test_weighted_kappa_of_constant_raters_is_undefined() -> None:
    x = np.full(4, 3.0)
    assert math.isnan(compute_weighted_kappa(rater_moments(x, x).sum(axis=0)))
