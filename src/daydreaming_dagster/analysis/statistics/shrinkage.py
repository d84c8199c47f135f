"""Estimates that know that the best of many looked better than it is.

A normal model in two levels: true means scatter around a centre with an unknown standard deviation, observed means
around the true ones with known noise. The standard deviation is not estimated and then taken for known, which would
make the results too certain for few groups; all its values count by how well they explain the data, with a flat prior
(Rubin 1981; Gelman 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray

MIN_GROUPS = 4
"""Below this many groups nothing can be said about how much groups differ."""

_GRID_POINTS = 80
_GRID_REACH = 4.0
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Shrunken:
    """Posterior of each true mean.

    Attributes:
        observed, noise: what was given, shape (groups,).
        mean, standard_deviation: of the posterior, shape (groups,); nan below four groups.
        spread, weight: possible standard deviations between true means and their posterior weights, shape (points,).
    """

    observed: FloatArray
    noise: FloatArray
    mean: FloatArray
    standard_deviation: FloatArray
    spread: FloatArray
    weight: FloatArray

    @property
    def between(self) -> float:
        """Posterior mean of the variance between true means."""
        return float(self.weight @ self.spread**2)


def shrink(observed: FloatArray, noise: FloatArray) -> Shrunken:
    """Draws the means towards their centre by the share of their scatter that is noise.

    Args:
        observed: mean of each group, shape (groups,).
        noise: variance of each observed mean around the true one, above zero.
    """
    if observed.size < MIN_GROUPS:
        unknown = np.full(observed.size, np.nan)
        return Shrunken(observed, noise, unknown, unknown, np.empty(0), np.empty(0))
    reach = _GRID_REACH * max(float(observed.std(ddof=1)), float(np.sqrt(noise.mean())))
    spread = (np.arange(_GRID_POINTS) + 0.5) * reach / _GRID_POINTS
    given = [_given_spread(observed, noise, point) for point in spread]
    log_likelihood = np.array([fit for _, _, fit in given])
    weight = np.exp(log_likelihood - log_likelihood.max())
    weight /= weight.sum()
    first, second = np.zeros((2, observed.size))
    for share, (mean, variance, _) in zip(weight, given, strict=True):
        first += share * mean
        second += share * (variance + mean**2)
    deviation = np.sqrt(np.maximum(second - first**2, 0.0))
    return Shrunken(observed, noise, first, deviation, spread, weight)


def compute_top_probability(shrunken: Shrunken, k: int, draws: int = 2000, seed: int = 20240101) -> FloatArray:
    """Probability of each group of being among the k truly best, shape (groups,), by simulation."""
    groups = shrunken.mean.size
    if groups == 0 or not np.isfinite(shrunken.mean).all():
        return np.full(groups, np.nan)
    if groups <= k:
        return np.ones(groups)
    rng = np.random.default_rng(seed)
    count = np.zeros(groups)
    times = rng.multinomial(draws, shrunken.weight)
    for spread, number in zip(shrunken.spread, times, strict=True):
        pull, centre, centre_variance = _centre_given_spread(shrunken.observed, shrunken.noise, spread)
        deviation = np.sqrt(pull * spread**2)
        rows = max(1, _CHUNK_CELLS // groups)
        for start in range(0, number, rows):
            size = min(rows, number - start)
            middle = centre + np.sqrt(centre_variance) * rng.standard_normal((size, 1))
            drawn = (1 - pull) * shrunken.observed + pull * middle + deviation * rng.standard_normal((size, groups))
            best = np.argpartition(drawn, groups - k, axis=1)[:, groups - k :]
            count += np.bincount(best.ravel(), minlength=groups)
    # Of groups with the same figures none is likelier than another: what the simulation says of them is one number.
    alike = np.unique(np.stack([shrunken.observed, shrunken.noise]).round(9), axis=1, return_inverse=True)[1].ravel()
    return np.asarray((np.bincount(alike, weights=count) / np.bincount(alike))[alike] / draws)


def _given_spread(observed: FloatArray, noise: FloatArray, spread: float) -> tuple[FloatArray, FloatArray, float]:
    """Posterior mean and variance of each true mean for one standard deviation between them, and its log likelihood."""
    pull, centre, centre_variance = _centre_given_spread(observed, noise, spread)
    mean = (1 - pull) * observed + pull * centre
    variance = pull * spread**2 + pull**2 * centre_variance
    total = noise + spread**2
    fit = -0.5 * float(np.log(total).sum() + ((observed - centre) ** 2 / total).sum())
    return mean, variance, fit + 0.5 * float(np.log(centre_variance))


def _centre_given_spread(observed: FloatArray, noise: FloatArray, spread: float) -> tuple[FloatArray, float, float]:
    """How far each mean is drawn to the centre (0 to 1), the centre, and its variance."""
    weight = 1 / (noise + spread**2)
    total = float(weight.sum())
    return noise * weight, float(weight @ observed) / total, 1 / total
