"""Which concepts, and which pairs of them, make combinations better.

The combinations are a block design: each holds a few of the concepts. One value per combination, freed of judges and
arms, is regressed on which concepts it holds, so that the unit of the analysis is the combination and not the rating.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.adjusted_means import adjust_combos, adjust_essays
from daydreaming_dagster.analysis.estimates import ESTIMATE_SCHEMA, Estimate
from daydreaming_dagster.analysis.panels import Panel, iterate_panels
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray, IntArray
from daydreaming_dagster.analysis.statistics.multiplicity import adjust_benjamini_hochberg

COMBOS_SCHEMA: Schema = {"combo_id": pl.String(), "concept_id": pl.String()}
"""One row per combination and concept in it."""

CONCEPT_EFFECTS_SCHEMA: Schema = {
    "construct": pl.String(),
    "effect": pl.String(),
    "concept_a": pl.String(),
    "concept_b": pl.String(),
    **ESTIMATE_SCHEMA,
    "n_clusters_total": pl.Int64(),
    "p": pl.Float64(),
    "p_fdr": pl.Float64(),
}
"""One row per construct and concept (`effect` is `main`) or pair of concepts (`pair`); points.

- `main`: how much better combinations with the concept are than with the average concept, the others being equal.
- `pair`: how much better combinations with both are than their main effects add up to.
- `low`, `high`, `p`: from the scatter of the combinations around the main effects, with a t distribution.
- `p_fdr`: adjusted for how many main (or pair) effects of the construct were looked at (Benjamini and Hochberg).
- `n`, `n_clusters`: ratings and combinations with the concept or pair; `n_clusters_total` of all combinations.
"""

_NO_SCATTER = "not estimable: too few combinations for so many concepts"
_CONFOUNDED = "not estimable: always together with others"


def build_concept_effects(ratings: pl.DataFrame, combos: pl.DataFrame) -> pl.DataFrame:
    """Main and pair effects of the concepts on each construct; see `CONCEPT_EFFECTS_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        combos: a frame of `COMBOS_SCHEMA`; combinations that are not in it are left out.
    """
    rows: list[dict[str, object]] = []
    for panel in iterate_panels(ratings):
        design = _Design.of(panel, combos)
        if design is not None:
            rows += _rows(panel.construct, "main", _main_effects(design))
            rows += _rows(panel.construct, "pair", _pair_effects(design))
    return table_of_rows(rows, CONCEPT_EFFECTS_SCHEMA)


@dataclass(frozen=True, slots=True)
class _Design:
    """The regression of the combinations' values on their concepts.

    Attributes:
        concepts: names by code.
        holds: whether a combination holds a concept, shape (combinations, concepts).
        n: ratings of each combination.
        basis: orthonormal columns that span size and main effects, shape (combinations, rank).
        residual: of the combinations after the main effects.
        freedom: degrees of freedom of the residual.
        effect, unit_variance: main effects and their variances over that of the residual; nan when confounded.
    """

    concepts: list[str]
    holds: FloatArray
    n: IntArray
    basis: FloatArray
    residual: FloatArray
    freedom: int
    effect: FloatArray
    unit_variance: FloatArray

    @classmethod
    def of(cls, panel: Panel, combos: pl.DataFrame) -> _Design | None:
        concepts, holds = _which_holds_which(panel, combos)
        used = holds.any(axis=1)
        if not used.any():
            return None
        n = np.bincount(panel.combo, minlength=len(panel.combos))[used]
        value = adjust_combos(panel, adjust_essays(panel)).adjusted[used]
        return cls.fit(concepts, holds[used], n, value)

    @classmethod
    def fit(cls, concepts: list[str], holds: FloatArray, n: IntArray, value: FloatArray) -> _Design:
        """Least squares with a constant for each size of combination."""
        size = holds.sum(axis=1)
        sizes = (size[:, None] == np.unique(size)[None, :]).astype(np.float64)
        columns = np.concatenate([sizes, holds - holds.mean(axis=1, keepdims=True)], axis=1)
        left, singular, right = np.linalg.svd(columns, full_matrices=False)
        rank = int((singular > 1e-9 * singular[0]).sum())
        left, singular, right = left[:, :rank], singular[:rank], right[:rank]
        # An effect is one concept against the mean of all; it is estimable when that contrast lies in the row space.
        contrast = np.zeros((len(concepts), columns.shape[1]))
        contrast[:, sizes.shape[1] :] = np.eye(len(concepts)) - 1 / len(concepts)
        reachable = np.isclose(contrast @ right.T @ right, contrast, atol=1e-8).all(axis=1)
        weights = contrast @ right.T / singular
        return cls(
            concepts=concepts,
            holds=holds,
            n=n,
            basis=left,
            residual=value - left @ (left.T @ value),
            freedom=value.size - rank,
            effect=np.where(reachable, weights @ (left.T @ value), np.nan),
            unit_variance=np.asarray((weights**2).sum(axis=1)),
        )


def _which_holds_which(panel: Panel, combos: pl.DataFrame) -> tuple[list[str], FloatArray]:
    """Names of the concepts, and whether each combination of the panel holds each, shape (combinations, concepts)."""
    codes = pl.DataFrame({"combo_id": panel.combos, "combo": np.arange(len(panel.combos))})
    known = combos.select("combo_id", "concept_id").unique().join(codes, on="combo_id")
    concepts = known["concept_id"].unique().sort().to_list()
    column = {concept: code for code, concept in enumerate(concepts)}
    holds = np.zeros((len(panel.combos), len(concepts)))
    holds[known["combo"].to_numpy(), np.array([column[name] for name in known["concept_id"]], dtype=np.int64)] = 1.0
    return concepts, holds


@dataclass(frozen=True, slots=True)
class _Effect:
    concepts: tuple[str, ...]
    figure: Estimate
    p: float
    total: int


def _main_effects(design: _Design) -> Iterator[_Effect]:
    squares = float(design.residual @ design.residual)
    for code, concept in enumerate(design.concepts):
        with_it = design.holds[:, code] > 0
        n, n_clusters = int(design.n[with_it].sum()), int(with_it.sum())
        spread = squares / design.freedom if design.freedom > 0 else math.nan
        error = math.sqrt(spread * design.unit_variance[code]) if math.isfinite(spread) else math.nan
        yield _effect(design, (concept,), float(design.effect[code]), error, design.freedom, n, n_clusters)


def _pair_effects(design: _Design) -> Iterator[_Effect]:
    """Each pair is added to the main effects by itself."""
    squares = float(design.residual @ design.residual)
    freedom = design.freedom - 1
    for first, second in combinations(range(len(design.concepts)), 2):
        both = np.flatnonzero(design.holds[:, first] * design.holds[:, second])
        if both.size == 0:
            continue
        explained = design.basis[both].sum(axis=0)
        free = both.size - float(explained @ explained)
        slope = float(design.residual[both].sum()) / free if free > 1e-8 else math.nan
        rest = squares - slope**2 * free
        error = math.sqrt(max(rest, 0.0) / freedom / free) if freedom > 0 and free > 1e-8 else math.nan
        names = (design.concepts[first], design.concepts[second])
        yield _effect(design, names, slope, error, freedom, int(design.n[both].sum()), int(both.size))


def _effect(
    design: _Design, names: tuple[str, ...], value: float, error: float, freedom: int, n: int, n_clusters: int
) -> _Effect:
    from scipy.special import stdtr, stdtrit

    total = int(design.n.size)
    if not math.isfinite(value) or freedom < 1:
        note = _NO_SCATTER if freedom < 1 else _CONFOUNDED
        return _Effect(names, Estimate(n=n, n_clusters=n_clusters, note=note), math.nan, total)
    if error <= 1e-12:
        note = "no scatter between combinations: no interval"
        return _Effect(names, Estimate(value, n=n, n_clusters=n_clusters, note=note), math.nan, total)
    reach = float(stdtrit(freedom, 0.975)) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return _Effect(names, Estimate(value, value - reach, value + reach, n, n_clusters), p, total)


def _rows(construct: str, kind: str, effects: Iterator[_Effect]) -> Iterator[dict[str, object]]:
    found = list(effects)
    adjusted = adjust_benjamini_hochberg(np.array([effect.p for effect in found]))
    for effect, p_fdr in zip(found, adjusted, strict=True):
        yield {
            "construct": construct,
            "effect": kind,
            "concept_a": effect.concepts[0],
            "concept_b": effect.concepts[1] if kind == "pair" else None,
            **effect.figure.row(),
            "n_clusters_total": effect.total,
            "p": None if math.isnan(effect.p) else effect.p,
            "p_fdr": None if math.isnan(p_fdr) else float(p_fdr),
        }
