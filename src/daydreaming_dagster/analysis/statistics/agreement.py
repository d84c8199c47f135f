"""How far raters agree on the same units beyond what chance would give.

Krippendorff, "Computing Krippendorff's alpha-reliability" (2011); Shrout and Fleiss, "Intraclass correlations"
(1979); McGraw and Wong (1996) for the names ICC(A,1), ICC(A,k), ICC(C,k); Fleiss (1971); Cohen (1968) for weighted
kappa; Kendall's W with the correction for ties. nan means undefined, mostly because nothing varies.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import ClusterBootstrap, FloatArray, IntArray

Level = Literal["nominal", "ordinal", "interval", "ratio"]

_MAX_TABLE = 24
"""Up to this many distinct values, tables of value pairs by cluster are small enough to keep."""


def compute_krippendorff_alpha(ratings: FloatArray, level: Level) -> float:
    """Alpha of a table of ratings, shape (raters, units), nan where a rater did not rate a unit."""
    rated = ~np.isnan(ratings)
    unit = np.broadcast_to(np.arange(ratings.shape[1]), ratings.shape)[rated]
    if level in {"ordinal", "interval"}:
        return float(draw_alphas(unit, ratings[rated], level, None, None)[0])
    return _alpha_of_counts(*_count_values(unit, ratings[rated], ratings.shape[1]), level)


def draw_alphas(
    unit: IntArray, value: FloatArray, level: Level, cluster: IntArray | None, bootstrap: ClusterBootstrap | None
) -> FloatArray:
    """Ordinal or interval alpha in each bootstrap draw, shape (draws,); without a bootstrap the one of the data.

    At both levels the distance of two values is the squared difference of their positions: the value itself, or for
    ordinal data its mid-rank among all ratings of the draw.

    Args:
        unit, value: of each rating.
        level: `ordinal` or `interval`.
        cluster: of each rating; all ratings of a unit are in one cluster.
        bootstrap: over the clusters.
    """
    _, unit, size = np.unique(unit, return_inverse=True, return_counts=True)
    paired = size[unit] >= 2
    _, unit, size = np.unique(unit[paired], return_inverse=True, return_counts=True)
    values, code = np.unique(value[paired], return_inverse=True)
    if values.size < 2:
        return np.full(1 if bootstrap is None else bootstrap.draws, np.nan)
    if bootstrap is None or cluster is None:
        return np.array([_weighted_alpha(unit, size, values, code, np.ones(code.size), level)])
    member = cluster[paired]
    if values.size <= _MAX_TABLE:
        return _alphas_by_table(unit, size, values, code, member, bootstrap, level)
    weights = (weight for block in bootstrap.weights() for weight in block)
    return np.array([_weighted_alpha(unit, size, values, code, weight[member], level) for weight in weights])


def _weighted_alpha(
    unit: IntArray, size: IntArray, values: FloatArray, code: IntArray, weight: FloatArray, level: Level
) -> float:
    totals = np.bincount(code, weights=weight, minlength=values.size).astype(np.float64)
    n = totals.sum()
    position = _centred_positions(totals[None, :], values, level)[0]
    expected = 2 * n * float(totals @ position**2)
    # The weight of a rating is that of its unit, so the sum over units can be taken over ratings.
    each = position[code]
    sums = np.bincount(unit, weights=each)
    observed = 2 * float((weight / (size[unit] - 1)) @ (size[unit] * each**2 - sums[unit] * each))
    return 1 - (n - 1) * observed / expected if expected > 1e-12 * n * n else math.nan


def _alphas_by_table(
    unit: IntArray,
    size: IntArray,
    values: FloatArray,
    code: IntArray,
    cluster: IntArray,
    bootstrap: ClusterBootstrap,
    level: Level,
) -> FloatArray:
    """All draws at once, for few distinct values: each cluster's table of value pairs is added up with its weight."""
    n_units, width = size.size, values.size
    counts = np.bincount(unit * width + code, minlength=n_units * width).reshape(n_units, width)
    owner = np.zeros(n_units, dtype=np.int64)
    owner[unit] = cluster
    share = counts / (size - 1)[:, None]
    tables = np.empty((bootstrap.n_clusters, width * width))
    for first in range(width):
        for second in range(width):
            pairs = share[:, first] * (counts[:, second] - (first == second))
            tables[:, first * width + second] = np.bincount(owner, weights=pairs, minlength=bootstrap.n_clusters)
    together = bootstrap.draw_sums(tables).reshape(-1, width, width)
    totals = together.sum(axis=2)
    n = totals.sum(axis=1)
    position = _centred_positions(totals, values, level)
    expected = 2 * n * (totals * position**2).sum(axis=1)
    # Of all pairs, the squares count twice and the products of the two positions are taken off twice.
    products = np.einsum("dij,di,dj->d", together, position, position)
    observed = 2 * ((totals * position**2).sum(axis=1) - products)
    defined = expected > 1e-12 * n * n
    return np.asarray(1 - np.divide((n - 1) * observed, expected, out=np.full_like(n, np.nan), where=defined))


def _centred_positions(totals: FloatArray, values: FloatArray, level: Level) -> FloatArray:
    """Place of each value on the line, its mean over the ratings taken off; shape (draws, values)."""
    ranks = np.cumsum(totals, axis=1) - totals / 2
    position = ranks if level == "ordinal" else np.broadcast_to(values, totals.shape)
    n = totals.sum(axis=1, keepdims=True)
    mean = np.divide((totals * position).sum(axis=1, keepdims=True), n, out=np.zeros_like(n), where=n > 0)
    return np.asarray(position - mean)


def _count_values(unit: IntArray, value: FloatArray, n_units: int) -> tuple[FloatArray, FloatArray]:
    """How often each unit got each value, shape (units, values), and the distinct values in rising order."""
    values, code = np.unique(value, return_inverse=True)
    counts = np.zeros((n_units, values.size))
    np.add.at(counts, (unit, code), 1.0)
    return counts, values


def _alpha_of_counts(counts: FloatArray, values: FloatArray, level: Level) -> float:
    per_unit = counts.sum(axis=1)
    counts, per_unit = counts[per_unit >= 2], per_unit[per_unit >= 2]
    if counts.size == 0:
        return math.nan
    together = (counts.T / (per_unit - 1)) @ counts
    together[np.diag_indices_from(together)] -= (counts / (per_unit - 1)[:, None]).sum(axis=0)
    totals = counts.sum(axis=0)
    distance = _squared_distances(values, level)
    expected = float(totals @ distance @ totals)
    observed = float((together * distance).sum())
    return 1 - (totals.sum() - 1) * observed / expected if expected > 0 else math.nan


def compute_fleiss_kappa(counts: FloatArray) -> float:
    """Fleiss' kappa of counts, shape (units, categories), with the same number of raters for every unit."""
    raters = counts.sum(axis=1)
    observed = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    shares = counts.sum(axis=0) / counts.sum()
    chance = float((shares**2).sum())
    return float((observed.mean() - chance) / (1 - chance)) if chance < 1 else math.nan


def compute_weighted_kappa(moments: FloatArray) -> FloatArray:
    """Quadratically weighted kappa of two raters from their moments, shape (…, 6) to shape (…).

    With quadratic weights kappa needs no table of categories: it is one minus the mean squared difference over the
    one expected if the raters' own distributions were independent (Fleiss and Cohen 1973).

    Args:
        moments: sums over the units of 1, x, y, x², y², xy, in that order.
    """
    n, x, y, xx, yy, xy = np.moveaxis(moments, -1, 0)
    observed = n * (xx + yy - 2 * xy)
    expected = n * (xx + yy) - 2 * x * y
    return np.asarray(1 - np.divide(observed, expected, out=np.full_like(n, np.nan), where=expected > 1e-12))


def rater_moments(x: FloatArray, y: FloatArray) -> FloatArray:
    """The columns whose sums `compute_weighted_kappa` takes, shape (units, 6)."""
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def compute_kendall_w(ratings: FloatArray) -> float:
    """Kendall's coefficient of concordance, corrected for ties; units that a rater left out do not count.

    Args:
        ratings: shape (raters, units); each rater's values are turned into mid-ranks.
    """
    complete = ratings[:, ~np.isnan(ratings).any(axis=0)]
    draws = draw_kendall_ws(complete.T, np.arange(complete.shape[1]), None)
    return float(draws[0])


def draw_kendall_ws(ratings: FloatArray, unit_cluster: IntArray, bootstrap: ClusterBootstrap | None) -> FloatArray:
    """W in each bootstrap draw, shape (draws,); without a bootstrap the one W of the data.

    Ranks are taken anew in each draw: the mid-rank of a value is the weight below it and half the weight at it.

    Args:
        ratings: shape (units, raters), complete.
        unit_cluster: cluster of each unit.
    """
    n_units, n_raters = ratings.shape
    if n_units < 2 or n_raters < 2:
        return np.full(1 if bootstrap is None else bootstrap.draws, np.nan)
    coded = [np.unique(ratings[:, rater], return_inverse=True)[1] for rater in range(n_raters)]
    blocks = [np.ones((1, n_units))] if bootstrap is None else (w[:, unit_cluster] for w in bootstrap.weights())
    found = []
    for block in blocks:
        for weight in block:
            found.append(_weighted_kendall_w(coded, weight))
    return np.array(found)


def _weighted_kendall_w(coded: list[IntArray], weight: FloatArray) -> float:
    n, raters = float(weight.sum()), len(coded)
    rank_sum = np.zeros_like(weight)
    ties = 0.0
    for code in coded:
        at = np.bincount(code, weights=weight)
        rank_sum += (np.cumsum(at) - at / 2 + 0.5)[code]
        ties += float((at**3 - at).sum())
    spread = float(weight @ (rank_sum - raters * (n + 1) / 2) ** 2)
    possible = raters**2 * (n**3 - n) - raters * ties
    return 12 * spread / possible if possible > 1e-9 * n**3 else math.nan


def _squared_distances(values: FloatArray, level: Level) -> FloatArray:
    difference = values[:, None] - values[None, :]
    if level == "nominal":
        return np.asarray((difference != 0).astype(np.float64))
    total = values[:, None] + values[None, :]
    return np.asarray(np.divide(difference, total, out=np.zeros_like(total), where=total != 0) ** 2)
