"""Variance components of crossed facets with any pattern of missing cells, and what follows for other panels.

Two ratings that share some facets and differ in the others differ, on average, by the components of what they do
not share: E (y - y')² / 2 is the sum of the components that are not common to both. Averaging the squared
differences over all pairs of each kind gives one equation per kind, and the equations solve for the components. For
complete, balanced data the result is the usual analysis of variance; with missing cells it stays unbiased. The sums
over pairs come from group sums, so the cost is that of a few group-bys.

Generalizability theory: Brennan, "Generalizability Theory" (2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import ClusterBootstrap, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Components:
    """Variance components by the facets that interact, such as `("essay", "judge")`; nan where not estimable.

    Attributes:
        variance: may be below zero, as unbiased estimates of small components are; each of shape (…).
        error: of replicates of one cell; where there are none it is nan and contained in the highest interaction.
    """

    variance: Mapping[tuple[str, ...], FloatArray]
    error: FloatArray


def estimate_components(facets: Mapping[str, IntArray], values: FloatArray) -> Components:
    """Components of ratings in one vector; each facet gives the level of each rating as 0, 1, ….

    The first facet is the object of measurement. Shapes of the result are ().
    """
    names = list(facets)
    pairs = _count_pairs(list(facets.values()), values)
    return _solve(names, *_exactly(pairs, len(names)))


def draw_components(
    facets: Mapping[str, IntArray], values: FloatArray, cluster: IntArray, bootstrap: ClusterBootstrap
) -> Components:
    """Components in each bootstrap draw of the clusters that hold the first facet's levels; shapes (draws,).

    A cluster drawn twice gives two sets of objects. Pairs between a cluster and its own copy are left out: they
    would be alike as no two different objects are, and make the object's component too small.
    """
    names, levels = list(facets), list(facets.values())
    n_subsets = 1 << len(names)
    sums = np.zeros((2, bootstrap.draws, n_subsets))
    tables = [_ClusterPairs.of(levels, subset, values, cluster, bootstrap.n_clusters) for subset in range(n_subsets)]
    start = 0
    for weights in bootstrap.weights():
        stop = start + weights.shape[0]
        for subset, table in enumerate(tables):
            sums[:, start:stop, subset] = table.weighted(weights)
        start = stop
    return _solve(names, *_exactly(sums, len(names)))


def compute_reliability(
    components: Components, object_facet: str, panel: Mapping[str, int], replicates: int, fixed: Sequence[str] = ()
) -> tuple[FloatArray, FloatArray]:
    """Generalizability coefficient and Phi of a mean over a panel; components below zero count as zero.

    Args:
        components: of a G study.
        object_facet: what is measured.
        panel: how many levels of each other facet the mean is over.
        replicates: ratings per cell; only 1 is defined where the error is part of the highest interaction.
        fixed: facets whose levels are all there is, so that they are no source of error.

    Returns:
        E rho² (only differences between objects matter) and Phi (the values themselves matter).
    """
    truth, relative, absolute = np.zeros(()), np.zeros(()), np.zeros(())
    for names, estimate in components.variance.items():
        part = np.maximum(estimate, 0.0) / np.prod([panel[name] for name in names if name != object_facet])
        random = [name for name in names if name != object_facet and name not in fixed]
        if object_facet in names and not random:
            truth = truth + part
        elif object_facet in names:
            relative, absolute = relative + part, absolute + part
        elif random:
            absolute = absolute + part
    error = np.maximum(components.error, 0.0) / (np.prod(list(panel.values())) * replicates)
    error = np.where(np.isnan(components.error), 0.0 if replicates == 1 else np.nan, error)
    return _share(truth, relative + error), _share(truth, absolute + error)


def _share(truth: FloatArray, error: FloatArray) -> FloatArray:
    total = np.asarray(truth + error)
    return np.divide(truth, total, out=np.full_like(total, np.nan), where=total > 0)


def _group(levels: Sequence[IntArray], subset: int, size: int) -> IntArray:
    """A number for each rating, equal for ratings that share all facets of the subset."""
    code = np.zeros(size, dtype=np.int64)
    for index, level in enumerate(levels):
        if subset >> index & 1:
            code = code * (int(level.max(initial=0)) + 1) + level
            code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return code


def _count_pairs(levels: Sequence[IntArray], values: FloatArray) -> FloatArray:
    """For each subset of facets: sum of squared differences, and number, of pairs that share at least these."""
    centred = values - values.mean() if values.size else values
    found = np.zeros((2, 1 << len(levels)))
    for subset in range(1 << len(levels)):
        group = _group(levels, subset, values.size)
        n = np.bincount(group).astype(np.float64)
        total, squares = np.bincount(group, weights=centred), np.bincount(group, weights=centred**2)
        found[:, subset] = (n * squares - total**2).sum(), (n * (n - 1) / 2).sum()
    return found


def _exactly(at_least: FloatArray, n_facets: int) -> tuple[FloatArray, FloatArray]:
    """From pairs that share at least a subset to pairs that share exactly it; the subset is the last axis."""
    exact = at_least.copy()
    for bit in range(n_facets):
        for subset in range(1 << n_facets):
            if not subset >> bit & 1:
                exact[..., subset] -= exact[..., subset | 1 << bit]
    return exact[0], exact[1]


def _solve(names: Sequence[str], squared: FloatArray, number: FloatArray) -> Components:
    half_difference = np.divide(squared, 2 * number, out=np.full_like(squared, np.nan), where=number > 0.5)
    shared = half_difference[..., :1] - half_difference
    full = (1 << len(names)) - 1
    error = half_difference[..., full]
    variance: dict[tuple[str, ...], FloatArray] = {}
    for subset in range(1, full):
        variance[_names_of(subset, names)] = _alternating_sum(shared, subset)
    below = np.asarray(sum(variance.values())) if variance else np.zeros_like(error)
    rest = half_difference[..., 0] - below
    variance[tuple(names)] = np.where(np.isnan(error), rest, rest - np.nan_to_num(error))
    return Components(variance, np.asarray(error))


def _alternating_sum(shared: FloatArray, subset: int) -> FloatArray:
    """The component of a subset: what sharing it adds to what sharing its parts gives already."""
    total = np.zeros(shared.shape[:-1])
    part = subset
    while part:
        sign = -1.0 if (subset ^ part).bit_count() % 2 else 1.0
        total = total + sign * shared[..., part]
        part = (part - 1) & subset
    return total


def _names_of(subset: int, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for index, name in enumerate(names) if subset >> index & 1)


def _sums(code: IntArray, values: FloatArray | None, size: int) -> FloatArray:
    return np.bincount(code, weights=values, minlength=size).astype(np.float64)


@dataclass(frozen=True, slots=True)
class _ClusterPairs:
    """Sums by cluster from which the pairs sharing at least one subset of facets follow in any draw.

    Attributes:
        within: squared differences and number of the pairs inside one cluster, shape (clusters, 2).
        n, total, squares: by cluster and group, shape (clusters, groups); None when the subset holds the object, whose
            levels lie in one cluster each, so that there are no pairs between clusters.
        between_copies: of all ordered pairs of a cluster with its own copy, shape (clusters, 2).
    """

    within: FloatArray
    n: FloatArray | None = None
    total: FloatArray | None = None
    squares: FloatArray | None = None
    between_copies: FloatArray | None = None

    @classmethod
    def of(
        cls, levels: Sequence[IntArray], subset: int, values: FloatArray, cluster: IntArray, n_clusters: int
    ) -> _ClusterPairs:
        centred = values - values.mean() if values.size else values
        group = _group(levels, subset, values.size)
        n_groups = int(group.max(initial=-1)) + 1
        if subset & 1:
            owner = np.zeros(n_groups, dtype=np.int64)
            owner[group] = cluster
            n, total, squares = (_sums(group, part, n_groups) for part in (None, centred, centred**2))
            parts = (n * squares - total**2, n * (n - 1) / 2)
            return cls(np.stack([_sums(owner, part, n_clusters) for part in parts], axis=1))
        cell, shape = cluster * n_groups + group, (n_clusters, n_groups)
        n, total, squares = (
            _sums(cell, part, n_clusters * n_groups).reshape(shape) for part in (None, centred, centred**2)
        )
        differences = (n * squares - total**2).sum(axis=1)
        within = np.stack([differences, (n * (n - 1) / 2).sum(axis=1)], axis=1)
        return cls(within, n, total, squares, np.stack([2 * differences, (n**2).sum(axis=1)], axis=1))

    def weighted(self, weights: FloatArray) -> FloatArray:
        """Squared differences and number of pairs in each draw, shape (2, draws)."""
        if self.n is None or self.total is None or self.squares is None or self.between_copies is None:
            return np.asarray((weights @ self.within).T)
        n, total, squares = weights @ self.n, weights @ self.total, weights @ self.squares
        pairs = np.stack([(n * squares - total**2).sum(axis=1), (n * (n - 1) / 2).sum(axis=1)])
        copies = (weights * (weights - 1) / 2) @ self.between_copies
        return np.asarray(pairs - copies.T)


def spread_few_levels(
    drawn: Components, object_facet: str, levels: Mapping[str, int], error_replicates: float, seed: int
) -> Components:
    """Draws of components with the uncertainty of facets that have few levels added; shapes stay (draws,).

    Resampling objects says nothing about how other judges would have turned out. A component without the object,
    measured on d degrees of freedom, is therefore scaled by d over a chi-square variable of d degrees, as in
    generalised confidence intervals (Weerahandi 1993), together with the noise it was measured with.

    Args:
        drawn: components in each bootstrap draw.
        object_facet: the facet that was resampled.
        levels: how many levels each facet has.
        error_replicates: ratings per cell, on average.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    spread = dict(drawn.variance)
    for names, estimate in drawn.variance.items():
        if object_facet in names:
            continue
        noise = np.nan_to_num(np.maximum(drawn.error, 0.0)) / error_replicates
        noise = noise / np.prod([levels[name] for name in levels if name not in names])
        for other, component in drawn.variance.items():
            if set(names) < set(other):
                averaged = np.prod([levels[name] for name in other if name not in names])
                noise = noise + np.maximum(component, 0.0) / averaged
        freedom = int(np.prod([levels[name] - 1 for name in names]))
        factor = freedom / rng.chisquare(freedom, size=estimate.shape)
        spread[names] = np.maximum(estimate + noise, 0.0) * factor - noise
    return Components(spread, drawn.error)
