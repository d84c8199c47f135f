"""Estimates that know that the best of many looked better than it is.

Empirical Bayes with normal distributions: each mean is drawn towards the mean of all by the share of its spread that
is noise. The correction for an estimated spread is that of Morris, "Parametric empirical Bayes inference" (1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray

_MIN_GROUPS = 4
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Shrunken:
    """Posterior of each mean.

    Attributes:
        mean, standard_deviation: shape (groups,).
        between: variance of the true means; 0 when the observed ones differ no more than noise makes them.
        centre: what they are drawn to.
    """

    mean: FloatArray
    standard_deviation: FloatArray
    between: float
    centre: float


def estimate_between_variance(means: FloatArray, noise: FloatArray) -> float:
    """Variance of the true means, from observed means with known noise variances (Paule and Mandel 1982)."""
    freedom = means.size - 1

    def excess(between: float) -> float:
        weight = 1 / (noise + between)
        centre = (weight @ means) / weight.sum()
        return float(weight @ (means - centre) ** 2) - freedom

    if freedom < 1 or excess(1e-12 * max(1.0, float(noise.max()))) <= 0:
        return 0.0
    low, high = 0.0, float(np.var(means, ddof=1)) + float(noise.max())
    while excess(high) > 0:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def shrink(means: FloatArray, noise: FloatArray) -> Shrunken:
    """Draws the means towards their centre; below four groups the spread is not estimable and all is nan.

    Args:
        means: observed mean of each group, shape (groups,).
        noise: variance of each observed mean around the true one, above zero.
    """
    groups = means.size
    if groups < _MIN_GROUPS:
        unknown = np.full(groups, np.nan)
        return Shrunken(unknown, unknown, math.nan, math.nan)
    between = estimate_between_variance(means, noise)
    weight = 1 / (noise + between)
    centre = float((weight @ means) / weight.sum())
    pull = (groups - 3) / (groups - 1) * noise / (noise + between)
    mean = means - pull * (means - centre)
    variance = noise * (1 - (groups - 1) / groups * pull) + 2 / (groups - 3) * pull**2 * (means - centre) ** 2
    return Shrunken(mean, np.sqrt(variance), between, centre)


def compute_top_probability(shrunken: Shrunken, k: int, draws: int = 2000, seed: int = 20240101) -> FloatArray:
    """Probability of each group of being among the k truly best, shape (groups,), by simulation."""
    groups = shrunken.mean.size
    if groups == 0 or not np.isfinite(shrunken.mean).all():
        return np.full(groups, np.nan)
    if groups <= k:
        return np.ones(groups)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // groups)
    count = np.zeros(groups)
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        drawn = shrunken.mean + shrunken.standard_deviation * rng.standard_normal((size, groups))
        best = np.argpartition(drawn, groups - k, axis=1)[:, groups - k :]
        count += np.bincount(best.ravel(), minlength=groups)
    return count / draws
