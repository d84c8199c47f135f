"""A figure as it appears in every table: with its interval, what it rests on, and what to know about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.schema import Schema
from daydreaming_dagster.analysis.statistics.bootstrap import (
    MIN_CLUSTERS,
    ClusterBootstrap,
    FloatArray,
    IntArray,
    percentile_interval,
    sum_by_cluster,
)

ESTIMATE_SCHEMA: Schema = {
    "estimate": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
    "n_clusters": pl.Int64(),
    "note": pl.String(),
}
"""Columns of a figure: the 95 % interval is `low` to `high`; `n` ratings from `n_clusters` concept combinations.

`estimate` is null when the data cannot tell it, `low` and `high` when there is no honest interval; `note` says why.
"""

FEW_CLUSTERS = f"fewer than {MIN_CLUSTERS} combinations: no interval"

PER_WORDS = 100
"""Words of an essay to which its length slope refers."""

Statistic = Callable[[FloatArray], FloatArray]
"""From totals, shape (…, columns), to the statistic, shape (…); nan where undefined."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure; see `ESTIMATE_SCHEMA`."""

    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    n_clusters: int = 0
    note: str = ""

    def row(self) -> dict[str, object]:
        """The columns of `ESTIMATE_SCHEMA`, null instead of nan and of an empty note."""
        return {
            "estimate": or_null(self.estimate),
            "low": or_null(self.low),
            "high": or_null(self.high),
            "n": self.n,
            "n_clusters": self.n_clusters,
            "note": self.note or None,
        }

    def columns(self, name: str) -> dict[str, float | None]:
        """The figure and its interval as the columns `name`, `name_low`, `name_high`."""
        ends = {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}
        return {column: or_null(value) for column, value in ends.items()}


def or_null(value: float) -> float | None:
    """The value, or None when it is not finite."""
    return float(value) if math.isfinite(value) else None


def join_notes(*notes: str) -> str:
    """The notes that say something, each once."""
    return "; ".join(dict.fromkeys(note for note in notes if note))


def estimate_from_sums(
    cluster: IntArray, columns: FloatArray, statistic: Statistic, bootstrap: ClusterBootstrap, undefined: str
) -> Estimate:
    """A statistic of column totals with its cluster-bootstrap interval.

    Args:
        cluster: of each row.
        columns: shape (rows, columns).
        statistic: of the totals.
        bootstrap: over the clusters.
        undefined: the note when the statistic is undefined.
    """
    n, n_clusters = int(cluster.size), int(np.unique(cluster).size)
    totals = sum_by_cluster(cluster, columns, bootstrap.n_clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(totals.sum(axis=0)))
        if n == 0 or not math.isfinite(value):
            return Estimate(n=n, n_clusters=n_clusters, note=undefined)
        low, high = percentile_interval(statistic(bootstrap.draw_sums(totals)), n_clusters)
    return Estimate(value, low, high, n, n_clusters, FEW_CLUSTERS if n_clusters < MIN_CLUSTERS else "")


def estimate_share(cluster: IntArray, hits: FloatArray, of: FloatArray, bootstrap: ClusterBootstrap) -> Estimate:
    """Share of hits with its interval; where it is none or all, the other end is that of as many trials as clusters.

    A share of zero is zero in every draw. The honest bound is that of an exact binomial interval, with combinations
    as trials because ratings in one are alike.

    Args:
        cluster: of each row.
        hits, of: what is counted and what it is counted among, shape (rows,).
        bootstrap: over the clusters.
    """
    figure = estimate_from_sums(cluster, np.stack([hits, of], axis=1), ratio, bootstrap, "")
    if figure.n_clusters >= MIN_CLUSTERS and figure.estimate in (0.0, 1.0):
        bound = 1 - 0.025 ** (1 / figure.n_clusters)
        low, high = (0.0, bound) if figure.estimate == 0.0 else (1 - bound, 1.0)
        return replace(figure, low=low, high=high)
    return figure


def ratio(totals: FloatArray) -> FloatArray:
    """First total over the second."""
    return np.asarray(totals[..., 0] / totals[..., 1])


def measure_length_spread(words: FloatArray) -> float:
    """Words between short and long essays: from the 10th to the 90th percentile; nan where no length is known."""
    known = words[np.isfinite(words)]
    return float(np.subtract(*np.quantile(known, [0.9, 0.1]))) if known.size else math.nan


def estimate_length_slope(
    words: FloatArray, value: FloatArray, cluster: IntArray, bootstrap: ClusterBootstrap
) -> Estimate:
    """Points per `PER_WORDS` words of essay; none where four lengths in five are the same.

    Where short and long essays are less than that apart, the figure is right but about essays that nobody has seen;
    its note says what it makes over the words between them.

    Args:
        words: of the essay of each rating, nan where it is not known.
        value: the ratings.
        cluster: of each rating.
        bootstrap: over the clusters.
    """
    known = np.isfinite(words)
    if not known.any():
        return Estimate(note="length slope not estimable: no lengths are known")
    spread = measure_length_spread(words)
    if spread < 1:
        note = "length slope not estimable: four lengths in five are the same"
        return Estimate(n=int(known.sum()), n_clusters=np.unique(cluster[known]).size, note=note)
    columns = slope_columns(words[known] / PER_WORDS, value[known])
    figure = estimate_from_sums(cluster[known], columns, slope, bootstrap, "")
    if spread >= PER_WORDS or not math.isfinite(figure.estimate):
        return figure
    points = figure.estimate * spread / PER_WORDS
    near = f"length slope: {points:.2f} points over the {spread:.0f} words between short and long essays"
    return replace(figure, note=join_notes(figure.note, near))


def slope(totals: FloatArray) -> FloatArray:
    """Least-squares slope of y on x from the totals of 1, x, y, x², xy."""
    n, x, y, xx, xy = np.moveaxis(totals, -1, 0)
    spread = n * xx - x * x
    return np.asarray(np.where(spread > 1e-9 * np.maximum(1.0, n * xx), (n * xy - x * y) / spread, np.nan))


def slope_columns(x: FloatArray, y: FloatArray) -> FloatArray:
    """The columns whose totals `slope` takes, shape (rows, 5)."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y], axis=1)
