"""Cluster bootstrap: whole clusters are drawn with replacement, because what lies in one cluster is alike.

Every statistic here is a function of sums over clusters. A draw is then a vector of weights (how often each cluster
was drawn) times the clusters' sums, which makes a thousand draws a matrix product instead of a thousand resampled
tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MIN_CLUSTERS = 5
"""Below this many clusters no interval is given: the draws would hardly differ from each other."""

_CHUNK_CELLS = 4_000_000
_MAX_UNDEFINED = 0.1


@dataclass(frozen=True, slots=True)
class ClusterBootstrap:
    """Draws of clusters; the same seed and number of clusters give the same draws.

    Attributes:
        n_clusters: how many clusters there are; data refers to them as 0 … n_clusters - 1.
        draws: how many times to resample.
        seed: of the random numbers.
    """

    n_clusters: int
    draws: int = 1000
    seed: int = 20240101

    def weights(self) -> Iterator[FloatArray]:
        """How often each cluster is in each draw: blocks of shape (some draws, clusters), `draws` rows in all."""
        if self.n_clusters == 0:
            return
        counts = _draw_counts(self.n_clusters, self.draws, self.seed)
        rows = max(1, _CHUNK_CELLS // self.n_clusters)
        for start in range(0, self.draws, rows):
            yield counts[start : start + rows].astype(np.float64)

    def draw_sums(self, cluster_totals: FloatArray) -> FloatArray:
        """Totals of each draw, shape (draws, columns), from the clusters' totals, shape (clusters, columns)."""
        blocks = [block @ cluster_totals for block in self.weights()]
        return np.concatenate(blocks) if blocks else np.empty((0, cluster_totals.shape[1]))


@lru_cache(maxsize=4)
def _draw_counts(n_clusters: int, draws: int, seed: int) -> npt.NDArray[np.uint8]:
    """The weights of all draws; kept, because every table of one cohort uses the same."""
    rng = np.random.default_rng([seed, n_clusters])
    counts = np.empty((draws, n_clusters), dtype=np.uint8)
    rows = max(1, _CHUNK_CELLS // n_clusters)
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        chosen = rng.integers(0, n_clusters, size=(size, n_clusters))
        chosen += np.arange(size)[:, None] * n_clusters
        counts[start : start + size] = np.bincount(chosen.ravel(), minlength=size * n_clusters).reshape(size, -1)
    return counts


def sum_by_cluster(cluster: IntArray, columns: FloatArray, n_clusters: int) -> FloatArray:
    """Column totals of each cluster, shape (clusters, columns).

    Args:
        cluster: the cluster of each row, shape (rows,).
        columns: what to add up, shape (rows, columns).
        n_clusters: clusters without rows get zeros.
    """
    totals = [np.bincount(cluster, weights=columns[:, i], minlength=n_clusters) for i in range(columns.shape[1])]
    return np.stack(totals, axis=1) if totals else np.empty((n_clusters, 0))


def percentile_interval(draws: FloatArray, n_clusters: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of the draws, widened for few clusters; (nan, nan) where there is none.

    The plain percentiles are too narrow for few clusters. They are taken further out by the factor by which a t
    interval with n - 1 degrees of freedom is wider than a normal one of the variance over n (Hesterberg 2015, "What
    teachers should know about the bootstrap", the expanded percentile interval).

    Args:
        draws: shape (draws,); nan where the statistic is undefined in a draw. No interval if that is often so.
        n_clusters: how many clusters the figure rests on.
        level: coverage wanted.
    """
    defined = draws[np.isfinite(draws)]
    if n_clusters < MIN_CLUSTERS or defined.size < (1 - _MAX_UNDEFINED) * draws.size or defined.size == 0:
        return math.nan, math.nan
    tail = expanded_tail(n_clusters, level)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def expanded_tail(n_clusters: int, level: float = 0.95) -> float:
    """The share of draws beyond each end of the interval, smaller than (1 - level) / 2 for few clusters."""
    from scipy.special import ndtr, stdtrit

    quantile = float(stdtrit(n_clusters - 1, (1 - level) / 2))
    return float(ndtr(math.sqrt(n_clusters / (n_clusters - 1)) * quantile))


def clustered_standard_error(values: FloatArray, cluster: IntArray) -> float:
    """Standard error of the mean when values in one cluster are alike; nan below two clusters.

    With one value per cluster it is the usual s / sqrt(n).
    """
    _, code = np.unique(cluster, return_inverse=True)
    n_clusters = int(code.max()) + 1 if code.size else 0
    if n_clusters < 2:
        return math.nan
    sums = np.bincount(code, weights=values - values.mean())
    return float(math.sqrt(n_clusters / (n_clusters - 1) * float(sums @ sums)) / values.size)


def as_codes(labels: Any) -> tuple[IntArray, npt.NDArray[Any]]:
    """Whole numbers 0 … for the distinct labels in sorted order, and those labels."""
    distinct, code = np.unique(np.asarray(labels), return_inverse=True)
    return code.astype(np.int64), distinct
