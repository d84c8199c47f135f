"""Additive fits, shrinkage and pairwise strengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.analysis.statistics.additive import draw_column_effects, fit_additive
from daydreaming_dagster.analysis.statistics.bootstrap import ClusterBootstrap
from daydreaming_dagster.analysis.statistics.bradley_terry import fit_bradley_terry
from daydreaming_dagster.analysis.statistics.shrinkage import (
    compute_top_probability,
    shrink,
)


def stigler_wins() -> np.ndarray:
    wins = np.zeros((4, 4))
    for i, j, won, lost in [
        (0, 1, 730, 33),
        (0, 2, 498, 320),
        (0, 3, 221, 284),
        (1, 2, 68, 813),
        (1, 3, 17, 276),
        (2, 3, 142, 325),
    ]:
        wins[i, j], wins[j, i] = won, lost
    return wins


def test_stiglers_journals() -> None:
    fit = fit_bradley_terry(stigler_wins())
    assert fit.log_strength.tolist() == pytest.approx([0, -2.9491, -0.4796, 0.2690], abs=5e-5)
    assert fit.standard_error.tolist() == pytest.approx([0, 0.10255, 0.06059, 0.07083], abs=6e-6)


def test_another_reference_shifts_all_strengths_by_a_constant() -> None:
    order = [2, 0, 3, 1]
    fit = fit_bradley_terry(stigler_wins())
    other = fit_bradley_terry(stigler_wins()[np.ix_(order, order)])
    shift = other.log_strength - fit.log_strength[order]
    assert np.ptp(shift) == pytest.approx(0, abs=1e-9)


def test_a_player_who_never_lost_leaves_the_strengths_undefined() -> None:
    assert np.isnan(fit_bradley_terry(np.array([[0.0, 3.0], [0.0, 0.0]])).log_strength).all()


def test_severity_is_taken_out_of_means_over_different_judges() -> None:
    essays, judges = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    quality, severity = np.array([5.0, 5.0, 8.0]), np.array([-1.0, 0.0, 1.0])
    fit = fit_additive(essays, judges, quality[essays] + severity[judges], 3, 3)
    assert fit.row.tolist() == pytest.approx(quality.tolist())
    assert fit.column.tolist() == pytest.approx(severity.tolist())
    assert fit.degrees_of_freedom == 1
    assert fit.n_parts == 1


@given(st.integers(0, 10_000))
def test_the_fit_is_that_of_least_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row, column = rng.integers(0, 6, 25), rng.integers(0, 3, 25)
    values = rng.normal(size=25)
    fit = fit_additive(row, column, values, 6, 3)
    design = np.concatenate([np.eye(6)[row], np.eye(3)[column]], axis=1)
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    assert fit.residual == pytest.approx(values - design @ solution, abs=1e-9)
    assert fit.degrees_of_freedom == 25 - np.linalg.matrix_rank(design)


def test_essays_and_judges_without_a_chain_between_them_are_told_apart() -> None:
    fit = fit_additive(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3]), np.array([1.0, 2, 3, 4]), 3, 4)
    assert fit.n_parts == 2
    assert fit.row_part.tolist() == [0, 1, -1]
    assert math.isnan(fit.row[2])


def test_drawn_column_effects_spread_as_refitted_ones_do() -> None:
    rng = np.random.default_rng(9)
    row = np.repeat(np.arange(200), 3)
    column = np.tile(np.arange(4), 150)
    values = rng.normal(size=200)[row] + rng.normal(size=600)
    fit = fit_additive(row, column, values, 200, 4)
    cluster = np.arange(200) // 5
    drawn = draw_column_effects(fit, row, column, cluster, ClusterBootstrap(40, 500, seed=1))
    refitted = []
    for _ in range(200):
        chosen = rng.integers(0, 40, 40)
        rows = np.concatenate([np.arange(5) + 5 * c for c in chosen])
        index = np.concatenate([np.arange(3) + 3 * r for r in rows])
        refitted.append(fit_additive(np.repeat(np.arange(200), 3), column[index], values[index], 200, 4).column)
    assert drawn.mean(axis=0) == pytest.approx(fit.column, abs=0.02)
    assert drawn.std(axis=0) == pytest.approx(np.std(refitted, axis=0), rel=0.2)


def test_the_between_variance_is_recovered_with_unequal_noise() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        noise = rng.uniform(0.1, 2.0, 60)
        means = 5 + rng.normal(size=60) + rng.normal(size=60) * np.sqrt(noise)
        found.append(shrink(means, noise).between)
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)


def test_the_eight_schools_are_shrunk_as_published() -> None:
    """Rubin (1981), as in Gelman et al., "Bayesian Data Analysis": posterior means from about 5 to 11."""
    effect = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    error = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    shrunken = shrink(effect, error**2)
    assert shrunken.mean.tolist() == pytest.approx([11.5, 8, 6, 7.5, 5, 6, 10.5, 8.5], abs=0.8)
    assert shrunken.standard_deviation.tolist() == pytest.approx([8.5, 6.5, 8, 7, 6.5, 7, 7, 8], abs=1.2)


def test_means_that_differ_by_noise_only_are_drawn_together() -> None:
    rng = np.random.default_rng(2)
    seen = rng.normal(size=200)
    shrunken = shrink(seen, np.full(200, 1.0))
    assert shrunken.between < 0.1
    assert np.ptp(shrunken.mean) < 0.1 * np.ptp(seen)


def test_a_value_with_more_noise_is_drawn_further() -> None:
    seen = np.array([2.0, 2.0, -1, 0, 1, -2, 0.5, -0.5])
    noise = np.array([0.1, 3.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    mean = shrink(seen, noise).mean
    assert mean[0] > mean[1] + 0.5


def test_shrunken_estimates_of_the_best_are_not_too_high() -> None:
    rng = np.random.default_rng(1)
    raw_excess, shrunken_excess, covered = [], [], []
    for _ in range(200):
        truth = rng.normal(size=100) * 0.4
        noise = rng.uniform(0.1, 0.3, 100)
        seen = truth + rng.normal(size=100) * np.sqrt(noise)
        shrunken = shrink(seen, noise)
        best = np.argsort(seen)[-3:]
        raw_excess.append((seen - truth)[best].mean())
        shrunken_excess.append((shrunken.mean - truth)[best].mean())
        covered.append((np.abs(shrunken.mean - truth) < 1.96 * shrunken.standard_deviation).mean())
    assert np.mean(raw_excess) > 0.4
    assert abs(np.mean(shrunken_excess)) < 0.05
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_probability_of_the_top_is_calibrated() -> None:
    rng = np.random.default_rng(4)
    claimed, true = [], []
    for run in range(100):
        truth = rng.normal(size=40)
        noise = np.full(40, 0.5)
        shrunken = shrink(truth + rng.normal(size=40) * np.sqrt(0.5), noise)
        claimed.append(compute_top_probability(shrunken, 5, draws=400, seed=run))
        true.append(np.isin(np.arange(40), np.argsort(truth)[-5:]))
    claims, hits = np.concatenate(claimed), np.concatenate(true)
    assert claims.sum() == pytest.approx(500)
    for low, high in ((0.05, 0.2), (0.2, 0.5), (0.5, 0.9)):
        bin_ = (claims >= low) & (claims < high)
        assert hits[bin_].mean() == pytest.approx(claims[bin_].mean(), abs=0.08)


def test_three_means_are_too_few_to_shrink() -> None:
    shrunken = shrink(np.array([1.0, 2.0, 3.0]), np.ones(3))
    assert np.isnan(shrunken.mean).all()
    assert np.isnan(compute_top_probability(shrunken, 1)).all()


def test_groups_with_the_same_figures_are_equally_likely_among_the_best() -> None:
    shrunken = shrink(np.array([5.0, 7.0, 7.0, 7.0, 3.0, 4.0]), np.full(6, 0.5))
    chance = compute_top_probability(shrunken, 2)
    assert chance[1] == chance[2] == chance[3] > chance[0]
    assert chance.sum() == pytest.approx(2.0)
