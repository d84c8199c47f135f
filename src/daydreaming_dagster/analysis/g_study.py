"""A generalizability study of one construct: how much each source of variance contributes, and with which certainty.

A facet with one level is left out: its effects are part of those of the others. A facet with two levels stays in, so
that the others are free of it, but what it contributes itself is not estimable: one difference says next to nothing
about a variance. The same holds for two facets of two levels together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.estimates import FEW_CLUSTERS, Estimate, join_notes
from daydreaming_dagster.analysis.statistics.bootstrap import (
    MIN_CLUSTERS,
    ClusterBootstrap,
    FloatArray,
    IntArray,
    percentile_interval,
)
from daydreaming_dagster.analysis.statistics.variance import (
    Components,
    compute_reliability,
    draw_components,
    estimate_components,
    spread_few_levels,
)

MIN_LEVELS = 3
"""Fewest judges or templates from which a variance between them is estimated."""

_SEED = 7
_ONE_RATING = "not estimable: one rating per essay does not tell essays from noise"
_ONE_JUDGE = "not estimable: one judge says nothing about others"


@dataclass(frozen=True, slots=True)
class GStudy:
    """Components of one construct's ratings.

    Attributes:
        estimate: components; nan where not estimable.
        drawn: the same in each bootstrap draw, with the uncertainty of facets with few levels.
        object_facet: what is measured, the first facet.
        levels: number of levels of each facet in the study, the object's included.
        left_out: facets with a single level.
        not_estimable: facets whose own components are not, with the reason.
        n, n_clusters: ratings and combinations.
        has_replicates: whether the error is told apart from the highest interaction.
    """

    estimate: Components
    drawn: Components
    object_facet: str
    levels: Mapping[str, int]
    left_out: tuple[str, ...]
    not_estimable: Mapping[str, str]
    n: int
    n_clusters: int
    has_replicates: bool

    @property
    def measures_anything(self) -> bool:
        """Whether the object's component is told apart from error at all."""
        return len(self.levels) > 1 or self.has_replicates

    def reliability(self, panel: Mapping[str, int], replicates: int, fixed: tuple[str, ...]) -> dict[str, Estimate]:
        """`e_rho2` and `phi` of a mean over a panel; null with a note where a needed component is not estimable.

        Of a single judge neither is: what that judge repeats may be a liking of its own.
        """
        why = "" if self.measures_anything else _ONE_RATING
        if "judge" in self.left_out:
            why = _ONE_JUDGE
        if why:
            unknown = Estimate(n=self.n, n_clusters=self.n_clusters, note=why)
            return {"e_rho2": unknown, "phi": unknown}
        points = compute_reliability(self.estimate, self.object_facet, panel, replicates, fixed)
        draws = compute_reliability(self.drawn, self.object_facet, panel, replicates, fixed)
        reasons = join_notes(*(self.not_estimable[name] for name in panel if name in self.not_estimable))
        figures = {}
        for name, point, drawn in zip(("e_rho2", "phi"), points, draws, strict=True):
            why = reasons or "not estimable: no replicates"
            figures[name] = self._figure(float(point), np.asarray(drawn), why)
        return figures

    def component(self, names: tuple[str, ...]) -> Estimate:
        """One component, at least zero."""
        if not self.measures_anything:
            return Estimate(n=self.n, n_clusters=self.n_clusters, note=_ONE_RATING)
        return self._bounded(self.estimate.variance[names], self.drawn.variance[names], self._why_not(names))

    def error(self) -> Estimate:
        """The variance between replicates of one rating."""
        return self._bounded(self.estimate.error, self.drawn.error, "not estimable: no replicates")

    def _why_not(self, names: tuple[str, ...]) -> str:
        reasons = [self.not_estimable[name] for name in names if name in self.not_estimable]
        return join_notes(*reasons) or "not estimable: the cells it needs are missing"

    def _bounded(self, value: FloatArray, drawn: FloatArray, undefined: str) -> Estimate:
        figure = self._figure(float(np.maximum(value, 0.0)), np.maximum(drawn, 0.0), undefined)
        if value < 0:
            note = join_notes("estimated below zero, taken as zero", figure.note)
            return Estimate(0.0, figure.low, figure.high, figure.n, figure.n_clusters, note)
        return figure

    def _figure(self, value: float, drawn: FloatArray, undefined: str) -> Estimate:
        if not math.isfinite(value):
            return Estimate(n=self.n, n_clusters=self.n_clusters, note=undefined)
        low, high = percentile_interval(drawn, self.n_clusters)
        note = FEW_CLUSTERS if self.n_clusters < MIN_CLUSTERS else ""
        return Estimate(value, low, high, self.n, self.n_clusters, note)


def run_g_study(
    facets: Mapping[str, IntArray], value: FloatArray, cluster: IntArray, n_clusters: int, draws: int
) -> GStudy:
    """The study of one construct's ratings.

    Args:
        facets: level of each rating by facet, the object of measurement first; its levels lie in one cluster each.
        value: points.
        cluster: combination of each rating.
        n_clusters: how many combinations there are.
        draws: of the bootstrap.
    """
    object_facet = next(iter(facets))
    counts = {name: int(np.unique(level).size) for name, level in facets.items()}
    left_out = tuple(name for name, count in counts.items() if count < 2 and name != object_facet)
    kept = {name: level for name, level in facets.items() if name not in left_out}
    levels = {name: counts[name] for name in kept}
    weak = {
        name: f"not estimable: {count} {name}s are too few for a variance between them"
        for name, count in levels.items()
        if count < MIN_LEVELS and name != object_facet
    }
    estimate = estimate_components(kept, value)
    drawn = draw_components(kept, value, cluster, ClusterBootstrap(n_clusters, draws))
    cells = np.unique(np.stack(list(kept.values())), axis=1).shape[1]
    drawn = spread_few_levels(drawn, object_facet, levels, value.size / max(1, cells), _SEED)
    return GStudy(
        estimate=_without(estimate, object_facet, levels),
        drawn=_without(drawn, object_facet, levels),
        object_facet=object_facet,
        levels=levels,
        left_out=left_out,
        not_estimable=weak,
        n=int(value.size),
        n_clusters=n_clusters,
        has_replicates=bool(np.isfinite(estimate.error)),
    )


def _without(components: Components, object_facet: str, levels: Mapping[str, int]) -> Components:
    """The components with those measured on a single degree of freedom set to nan."""
    variance = {
        names: np.full_like(value, np.nan)
        if object_facet not in names and math.prod(levels[name] - 1 for name in names) < MIN_LEVELS - 1
        else value
        for names, value in components.variance.items()
    }
    return Components(variance, components.error)
