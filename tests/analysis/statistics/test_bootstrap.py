from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daydreaming_dagster.analysis.statistics.bootstrap import (
    ClusterBootstrap,
    clustered_standard_error,
    percentile_interval,
    sum_by_cluster,
)


@given(hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-100, 100)))
def test_the_clustered_error_of_single_values_is_the_usual_one(values: np.ndarray) -> None:
    usual = values.std(ddof=1) / math.sqrt(values.size)
    assert clustered_standard_error(values, np.arange(values.size)) == pytest.approx(usual, abs=1e-9)


def test_values_that_are_copies_within_clusters_do_not_make_the_error_smaller() -> None:
    values = np.random.default_rng(1).normal(size=20)
    once = clustered_standard_error(values, np.arange(20))
    assert clustered_standard_error(np.repeat(values, 10), np.repeat(np.arange(20), 10)) == pytest.approx(once)


def test_one_cluster_has_no_error() -> None:
    assert math.isnan(clustered_standard_error(np.arange(5.0), np.zeros(5, dtype=np.int64)))


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 100))
def test_every_draw_takes_as_many_clusters_as_there_are(clusters: int, draws: int, seed: int) -> None:
    blocks = list(ClusterBootstrap(clusters, draws, seed).weights())
    weights = np.concatenate(blocks)
    assert weights.shape == (draws, clusters)
    assert (weights.sum(axis=1) == clusters).all()


def test_the_same_seed_gives_the_same_draws() -> None:
    totals = np.random.default_rng(0).normal(size=(30, 2))
    first, again = (ClusterBootstrap(30, 50, seed=7).draw_sums(totals) for _ in range(2))
    assert (first == again).all()
    assert not (first == ClusterBootstrap(30, 50, seed=8).draw_sums(totals)).all()


def test_sums_by_cluster_keep_clusters_without_rows() -> None:
    sums = sum_by_cluster(np.array([0, 2, 2]), np.array([[1.0], [2.0], [3.0]]), 4)
    assert sums.tolist() == [[1.0], [0.0], [5.0], [0.0]]


@pytest.mark.parametrize("clusters", [6, 12, 40])
def test_the_interval_of_a_mean_of_clustered_values_covers_the_truth(clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    covered, runs = 0, 400
    for run in range(runs):
        size = rng.integers(1, 6, clusters)
        cluster = np.repeat(np.arange(clusters), size)
        values = rng.normal(size=clusters)[cluster] + rng.normal(size=cluster.size) * 0.3
        totals = sum_by_cluster(cluster, np.stack([values, np.ones_like(values)], axis=1), clusters)
        drawn = ClusterBootstrap(clusters, 400, seed=run).draw_sums(totals)
        low, high = percentile_interval(drawn[:, 0] / drawn[:, 1], clusters)
        covered += low <= 0 <= high
    assert 0.90 <= covered / runs <= 0.99


def test_few_clusters_or_often_undefined_draws_give_no_interval() -> None:
    draws = np.linspace(0, 1, 100)
    assert math.isnan(percentile_interval(draws, 4)[0])
    half_undefined = np.where(np.arange(100) % 2, draws, math.nan)
    assert math.isnan(percentile_interval(half_undefined, 50)[0])
    assert percentile_interval(draws, 50)[0] < percentile_interval(draws, 50)[1]
