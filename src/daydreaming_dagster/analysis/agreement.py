"""Whether the judges of a construct agree, with each other and with themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Literal

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.estimates import (
    ESTIMATE_SCHEMA,
    FEW_CLUSTERS,
    Estimate,
    estimate_from_sums,
    join_notes,
)
from daydreaming_dagster.analysis.g_study import run_g_study
from daydreaming_dagster.analysis.panels import Panel, iterate_panels
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.agreement import (
    compute_kendall_w,
    compute_weighted_kappa,
    draw_alphas,
    draw_kendall_ws,
    rater_moments,
)
from daydreaming_dagster.analysis.statistics.bootstrap import (
    MIN_CLUSTERS,
    BoolArray,
    ClusterBootstrap,
    FloatArray,
    IntArray,
    percentile_interval,
)

AGREEMENT_SCHEMA: Schema = {
    "construct": pl.String(),
    "statistic": pl.String(),
    "judge_a": pl.String(),
    "judge_b": pl.String(),
    **ESTIMATE_SCHEMA,
    "n_units": pl.Int64(),
    "n_judges": pl.Int64(),
    "flag": pl.String(),
}
"""One row per construct and statistic, and per pair of judges for `weighted_kappa`, per judge for `intra_judge_alpha`.

A unit is what several judges rated alike: an essay with one template, and for alpha one round of replicates of it (the
first replicates of all judges are one unit, the second another one), so that no replicate is averaged away or taken
for another judge.

- `krippendorff_alpha_ordinal`, `krippendorff_alpha_interval`: agreement of single ratings.
- `icc_a1`, `icc_ak`: how much of the variance of a single rating, or of the mean of all judges, is the essays', when
  the values themselves matter; `icc_ck`: when only differences between essays matter. From variance components, so
  cells may be missing. The first two are about judges in general and therefore need at least three of them.
- `kendall_w`: agreement of rankings, over units that all judges rated; replicates are averaged first. By chance it is
  not 0 but about one over the number of judges.
- `weighted_kappa`: of two judges, quadratic weights. `intra_judge_alpha`: ordinal, of a judge's replicates.
- `flag`: `low` below .667, `tentative` below .8, else `reliable`, by the estimate.
"""

_LOW, _RELIABLE = 0.667, 0.8
_ONE_JUDGE = "not estimable: one judge"
_NO_PAIRS = "not estimable: no two ratings of one unit, or all ratings are equal"


def build_agreement(ratings: pl.DataFrame, draws: int = 1000) -> pl.DataFrame:
    """The agreement of each construct's judges, 95 % intervals over combinations.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        draws: of the bootstrap.
    """
    rows: list[dict[str, object]] = []
    for panel in iterate_panels(ratings):
        for statistic, judges, figure, n_units in _figures_of(panel, draws):
            rows.append(
                {
                    "construct": panel.construct,
                    "statistic": statistic,
                    "judge_a": judges[0] if judges else None,
                    "judge_b": judges[1] if len(judges) > 1 else None,
                    **figure.row(),
                    "n_units": n_units,
                    "n_judges": len(judges) or len(panel.judges),
                    "flag": flag_agreement(figure.estimate),
                }
            )
    return table_of_rows(rows, AGREEMENT_SCHEMA)


_Figure = tuple[str, tuple[str, ...], Estimate, int]


def _figures_of(panel: Panel, draws: int) -> Iterator[_Figure]:
    bootstrap = ClusterBootstrap(panel.n_clusters, draws)
    levels: tuple[Literal["ordinal", "interval"], ...] = ("ordinal", "interval")
    unit = panel.essay * len(panel.templates) + panel.template
    rounds = unit * (int(panel.replicate.max()) + 1) + panel.replicate
    everything = np.ones(panel.value.size, dtype=np.bool_)
    for level in levels:
        figure, n_units = _alpha(panel, rounds, everything, level, bootstrap)
        if len(panel.judges) < 2:
            figure = Estimate(n=figure.n, n_clusters=figure.n_clusters, note=_ONE_JUDGE)
        yield f"krippendorff_alpha_{level}", (), figure, n_units
    yield from _intraclass(panel, unit, draws)
    table, table_cluster = _table_of_means(panel, unit)
    yield _kendall(panel, table, table_cluster, bootstrap)
    for first, second in combinations(range(len(panel.judges)), 2):
        both = ~np.isnan(table[:, [first, second]]).any(axis=1)
        moments = rater_moments(table[both, first], table[both, second])
        kappa = estimate_from_sums(table_cluster[both], moments, compute_weighted_kappa, bootstrap, _NO_PAIRS)
        yield "weighted_kappa", (panel.judges[first], panel.judges[second]), kappa, int(both.sum())
    for code, judge in enumerate(panel.judges):
        figure, n_units = _alpha(panel, unit, panel.judge == code, "ordinal", bootstrap)
        yield "intra_judge_alpha", (judge,), figure, n_units


def _alpha(
    panel: Panel, unit: IntArray, chosen: BoolArray, level: Literal["ordinal", "interval"], bootstrap: ClusterBootstrap
) -> tuple[Estimate, int]:
    """Alpha over units with at least two of the chosen ratings, and the number of those units."""
    _, code, size = np.unique(unit[chosen], return_inverse=True, return_counts=True)
    paired = size[code] >= 2
    group, value, combo = code[paired], panel.value[chosen][paired], panel.combo[chosen][paired]
    n_units, n, n_clusters = int((size >= 2).sum()), int(value.size), int(np.unique(combo).size)
    alpha = float(draw_alphas(group, value, level, None, None)[0])
    if not math.isfinite(alpha):
        return Estimate(n=n, n_clusters=n_clusters, note=_NO_PAIRS), n_units
    low, high = percentile_interval(draw_alphas(group, value, level, combo, bootstrap), n_clusters)
    return Estimate(alpha, low, high, n, n_clusters, FEW_CLUSTERS if n_clusters < MIN_CLUSTERS else ""), n_units


def _intraclass(panel: Panel, unit: IntArray, draws: int) -> Iterator[_Figure]:
    n_units = int(np.unique(unit).size)
    facets = {"essay": np.unique(unit, return_inverse=True)[1].astype(np.int64), "judge": panel.judge}
    study = run_g_study(facets, panel.value, panel.combo, panel.n_clusters, draws)
    judges = len(panel.judges)
    for statistic, size, kind in (("icc_a1", 1, "phi"), ("icc_ak", judges, "phi"), ("icc_ck", judges, "e_rho2")):
        if judges < 2:
            yield statistic, (), Estimate(n=study.n, n_clusters=study.n_clusters, note=_ONE_JUDGE), n_units
        else:
            yield statistic, (), study.reliability({"judge": size}, 1, ())[kind], n_units


def _table_of_means(panel: Panel, unit: IntArray) -> tuple[FloatArray, IntArray]:
    """Mean of each judge's replicates by unit, shape (units, judges), nan where missing; and the units' clusters."""
    _, code = np.unique(unit, return_inverse=True)
    shape = (int(code.max()) + 1, len(panel.judges))
    cell = code * shape[1] + panel.judge
    count = np.bincount(cell, minlength=shape[0] * shape[1])
    total = np.bincount(cell, weights=panel.value, minlength=shape[0] * shape[1])
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    cluster = np.zeros(shape[0], dtype=np.int64)
    cluster[code] = panel.combo
    return means.reshape(shape), cluster


def _kendall(panel: Panel, table: FloatArray, cluster: IntArray, bootstrap: ClusterBootstrap) -> _Figure:
    complete = ~np.isnan(table).any(axis=1)
    n_units, n_clusters = int(complete.sum()), int(np.unique(cluster[complete]).size)
    n = n_units * len(panel.judges)
    value = compute_kendall_w(table.T)
    if len(panel.judges) < 2 or not math.isfinite(value):
        note = _ONE_JUDGE if len(panel.judges) < 2 else "not estimable: no units rated by all judges that differ"
        return "kendall_w", (), Estimate(n=n, n_clusters=n_clusters, note=note), n_units
    drawn = draw_kendall_ws(table[complete], cluster[complete], bootstrap)
    low, high = percentile_interval(drawn, n_clusters)
    gaps = f"{table.shape[0] - n_units} units left out, not rated by all" if n_units < table.shape[0] else ""
    few = FEW_CLUSTERS if n_clusters < MIN_CLUSTERS else ""
    return "kendall_w", (), Estimate(value, low, high, n, n_clusters, join_notes(gaps, few)), n_units


def flag_agreement(estimate: float) -> str | None:
    """`low`, `tentative` or `reliable` by Krippendorff's customary limits; None for nan."""
    if not math.isfinite(estimate):
        return None
    if estimate < _LOW:
        return "low"
    return "tentative" if estimate < _RELIABLE else "reliable"
