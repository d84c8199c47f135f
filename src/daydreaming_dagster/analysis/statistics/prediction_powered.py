"""A mean of what people would say, from few ratings by people and many by models.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023; with the tuned weight of
Angelopoulos, Duchi and Zrnic 2023). With Y what people said of n essays, f what models said of them, and f what models
said of N other essays:

    estimate = mean(Y) + w · (mean of f over the N others − mean of f over the n)
    variance = var(Y − w f) / n + w² · var(f over the others) / N
    w        = cov(Y, f) / ((1 + n/N) · var(f over all)), kept between 0 and 1

With w = 0 it is the plain mean of the people's ratings: models that do not follow people change nothing, and models
that are wrong by a constant do no harm. It holds where the essays that people rated were chosen without regard to what
they are worth, which the shuffled order of the rating page does. Variances are over concept combinations: essays of
one combination are not independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray, IntArray

FEWEST_RATED, FEWEST_CLUSTERS = 20, 8
"""Essays rated by people, and combinations they are from, below which no estimate is made."""

_QUANTILE = 1.959964


@dataclass(frozen=True, slots=True)
class PoweredMean:
    """The estimate beside the plain mean of people's ratings, points, with 95 % intervals.

    Attributes:
        weight: how much was believed of the models, 0 to 1.
        n_rated, n_others: essays that people rated, and that only models rated.
    """

    estimate: float
    low: float
    high: float
    plain: float
    plain_low: float
    plain_high: float
    weight: float
    n_rated: int
    n_others: int


def estimate_powered_mean(
    human: FloatArray, model: FloatArray, cluster: IntArray, others: FloatArray, others_cluster: IntArray
) -> PoweredMean | None:
    """The mean of people's ratings over all essays; None where there are too few.

    Args:
        human, model: mean rating by people and by models of each essay that both rated, shape (n,).
        cluster: combination of each of these essays.
        others: mean rating by models of each essay that no person rated, shape (N,).
        others_cluster: combinations of those.
    """
    n, n_others = human.size, others.size
    if n < FEWEST_RATED or np.unique(cluster).size < FEWEST_CLUSTERS or n_others < 2:
        return None
    spread = float(np.var(np.concatenate([model, others]), ddof=1))
    together = float(np.cov(human, model, ddof=1)[0, 1])
    weight = min(max(together / ((1 + n / n_others) * spread), 0.0), 1.0) if spread > 1e-12 else 0.0
    estimate = float(human.mean() + weight * (others.mean() - model.mean()))
    variance = _mean_variance(human - weight * model, cluster) + weight**2 * _mean_variance(others, others_cluster)
    half, plain_half = _QUANTILE * math.sqrt(variance), _QUANTILE * math.sqrt(_mean_variance(human, cluster))
    plain = float(human.mean())
    return PoweredMean(
        estimate, estimate - half, estimate + half, plain, plain - plain_half, plain + plain_half, weight, n, n_others
    )


def _mean_variance(values: FloatArray, cluster: IntArray) -> float:
    """Variance of a mean of clustered values, with the correction for few clusters."""
    _, code = np.unique(cluster, return_inverse=True)
    sums = np.bincount(code, weights=values - values.mean())
    count = sums.size
    return float((sums**2).sum() / values.size**2 * count / (count - 1)) if count > 1 else math.nan
