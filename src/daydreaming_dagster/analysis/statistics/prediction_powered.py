"""A mean of what people would say, from few ratings by people and many by models.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023; with the tuned weight of
Angelopoulos, Duchi and Zrnic 2023). With Y what people said of n essays, f what models said of them, and f what models
said of N other essays:

    estimate = mean(Y) + w · (mean of f over the N others − mean of f over the n)
    variance = that of the sum of what each combination adds to the estimate
    w        = cov(Y, f) / ((1 + n/N) · var(f over all)), kept between 0 and 1

With w = 0 it is the plain mean of the people's ratings: models that do not follow people change nothing, and models
that are wrong by a constant do no harm. It holds where the essays that people rated were chosen without regard to what
they are worth, which the shuffled order of the rating page does. Essays of one combination are not independent, whether
people rated them or only models did: what they add to the estimate is summed by combination before it is squared. Were
the variances of the two parts added, as for independent samples, the intervals would be too short. They reach as far as
t with as many degrees of freedom as people's ratings have combinations, less one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray, IntArray

FEWEST_RATED, FEWEST_CLUSTERS = 20, 8
"""Essays rated by people, and combinations they are from, below which no estimate is made."""


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
        others_cluster: combinations of those, numbered as in `cluster`.
    """
    from scipy.special import stdtrit

    n, n_others = human.size, others.size
    if n < FEWEST_RATED or np.unique(cluster).size < FEWEST_CLUSTERS or n_others < 2:
        return None
    spread = float(np.var(np.concatenate([model, others]), ddof=1))
    together = float(np.cov(human, model, ddof=1)[0, 1])
    weight = min(max(together / ((1 + n / n_others) * spread), 0.0), 1.0) if spread > 1e-12 else 0.0
    estimate = float(human.mean() + weight * (others.mean() - model.mean()))
    n_clusters = int(max(cluster.max(), others_cluster.max())) + 1
    people = _pulls(human - weight * model, cluster, n_clusters)
    variance = _variance_of_sum(people + weight * _pulls(others, others_cluster, n_clusters))
    reach = float(stdtrit(np.unique(cluster).size - 1, 0.975))
    half, plain_half = (
        reach * math.sqrt(variance),
        reach * math.sqrt(_variance_of_sum(_pulls(human, cluster, n_clusters))),
    )
    plain = float(human.mean())
    return PoweredMean(
        estimate, estimate - half, estimate + half, plain, plain - plain_half, plain + plain_half, weight, n, n_others
    )


def _pulls(values: FloatArray, cluster: IntArray, n_clusters: int) -> FloatArray:
    """By how much the mean would change without each cluster: what the cluster adds to its deviation.

    A large cluster pulls the mean to itself, so that its values lie too near; dividing by the share of the others makes
    up for that (the jackknife, CR3 in MacKinnon and Webb 2017).
    """
    size = np.bincount(cluster, minlength=n_clusters)
    sums = np.bincount(cluster, weights=values - values.mean(), minlength=n_clusters)
    without = values.size - size
    return np.divide(sums, without, out=np.zeros(n_clusters), where=without > 0)


def _variance_of_sum(pulls: FloatArray) -> float:
    """Jackknife variance from the clusters' pulls; those that hold no value do not count."""
    count = int((pulls != 0).sum())
    return float((pulls**2).sum() * (count - 1) / count) if count > 1 else 0.0
