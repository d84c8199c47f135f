"""What is known of each judge: how strict, how fond of its own kind and of long essays, how steady."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.estimates import (
    ESTIMATE_SCHEMA,
    Estimate,
    estimate_from_sums,
    estimate_length_slope,
    estimate_share,
)
from daydreaming_dagster.analysis.panels import Panel, iterate_panels
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.severity import estimate_severities
from daydreaming_dagster.analysis.statistics.additive import fit_additive
from daydreaming_dagster.analysis.statistics.bootstrap import BoolArray, ClusterBootstrap, FloatArray

JUDGE_CARD_SCHEMA: Schema = {
    "construct": pl.String(),
    "judge_model": pl.String(),
    "quantity": pl.String(),
    **ESTIMATE_SCHEMA,
}
"""One row per construct, judge and quantity, 95 % intervals by cluster bootstrap over combinations.

- `severity`: points above (lenient) or below (strict) the average judge on the same essay and template.
- `self_preference`: how many points more the judge gives essays of its own family than others, each compared with
  what judges of other families than the writer's gave the same essay.
- `length_slope`: points per 100 words more of essay, beyond what the other judges give for length; null where four
  lengths in five are the same. Where lengths are near each other, `note` says what it makes over their spread.
- `repeat_noise`: standard deviation between replicates of one rating, points.
- `ceiling_share`: share of ratings at the best end of the scale.
"""

_ALONE = "not estimable: no other judge rated the same essays"
_NO_FAMILY = "not estimable: no essays of the judge's own family, or only such, or families unknown"


def build_judge_card(ratings: pl.DataFrame, draws: int = 1000) -> pl.DataFrame:
    """The card of every judge; see `JUDGE_CARD_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        draws: of the bootstrap.
    """
    rows: list[dict[str, object]] = []
    for panel in iterate_panels(ratings):
        for code, quantity, figure in _figures_of(panel, draws):
            row = {"construct": panel.construct, "judge_model": panel.judges[code], "quantity": quantity}
            rows.append(row | figure.row())
    table = table_of_rows(rows, JUDGE_CARD_SCHEMA)
    return table.sort("construct", "judge_model", maintain_order=True)


def _figures_of(panel: Panel, draws: int) -> Iterator[tuple[int, str, Estimate]]:
    bootstrap = ClusterBootstrap(panel.n_clusters, draws)
    severities = estimate_severities(panel, draws, by="judge")
    same = panel.frame["same_family"].cast(pl.Float64).to_numpy()
    own = same == 1.0
    against_others = _deviations(panel, ~own)
    against_all = _deviations(panel, np.ones_like(own))
    top = panel.value >= panel.frame["scale_max"].to_numpy()
    for code in range(len(panel.judges)):
        chosen = panel.judge == code
        yield code, "severity", severities[code]
        yield code, "self_preference", _self_preference(panel, chosen & ~np.isnan(same), own, against_others, bootstrap)
        yield code, "length_slope", _length_slope(panel, chosen, against_all, bootstrap)
        yield code, "repeat_noise", _repeat_noise(panel, chosen, bootstrap)
        one = np.ones(int(chosen.sum()))
        yield code, "ceiling_share", estimate_share(panel.combo[chosen], top[chosen] * one, one, bootstrap)


def _deviations(panel: Panel, usable: BoolArray) -> FloatArray:
    """Each rating less the mean of the other judges' usable ratings of the same essay and template, severity removed.

    nan where no other judge gave a usable rating.
    """
    n_judges = len(panel.judges)
    unit = panel.essay * len(panel.templates) + panel.template
    n_units = len(panel.essays) * len(panel.templates)
    if not usable.any():
        return np.full(panel.value.size, np.nan)
    fit = fit_additive(unit[usable], panel.judge[usable], panel.value[usable], n_units, n_judges)
    levelled = panel.value - np.nan_to_num(fit.column)[panel.judge]
    cell = unit * n_judges + panel.judge
    weight = usable.astype(np.float64)
    by_unit = [np.bincount(unit, weights=part, minlength=n_units) for part in (weight, weight * levelled)]
    by_cell = [np.bincount(cell, weights=part, minlength=n_units * n_judges) for part in (weight, weight * levelled)]
    count, total = (of_unit[unit] - of_cell[cell] for of_unit, of_cell in zip(by_unit, by_cell, strict=True))
    others = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0.5)
    return np.asarray(levelled - others)


def _self_preference(
    panel: Panel, chosen: BoolArray, own: BoolArray, deviation: FloatArray, bootstrap: ClusterBootstrap
) -> Estimate:
    known = chosen & np.isfinite(deviation)
    if chosen.any() and not known.any():
        return Estimate(note=_ALONE)
    mine, d = own[known].astype(np.float64), deviation[known]
    columns = np.stack([mine * d, mine, (1 - mine) * d, 1 - mine], axis=1)
    return estimate_from_sums(panel.combo[known], columns, _difference_of_means, bootstrap, _NO_FAMILY)


def _difference_of_means(totals: FloatArray) -> FloatArray:
    return np.asarray(totals[..., 0] / totals[..., 1] - totals[..., 2] / totals[..., 3])


def _length_slope(panel: Panel, chosen: BoolArray, deviation: FloatArray, bootstrap: ClusterBootstrap) -> Estimate:
    compared = chosen & np.isfinite(deviation)
    if not compared.any():
        return Estimate(note=_ALONE)
    return estimate_length_slope(panel.essay_words()[compared], deviation[compared], panel.combo[compared], bootstrap)


def _repeat_noise(panel: Panel, chosen: BoolArray, bootstrap: ClusterBootstrap) -> Estimate:
    cell = (panel.essay * len(panel.templates) + panel.template)[chosen]
    value, combo = panel.value[chosen], panel.combo[chosen]
    _, code, count = np.unique(cell, return_inverse=True, return_counts=True)
    mean = np.bincount(code, weights=value) / count
    repeated = count[code] > 1
    squares = (value - mean[code]) ** 2
    freedom = 1 - 1 / count[code]
    columns = np.stack([squares, freedom], axis=1)[repeated]
    return estimate_from_sums(combo[repeated], columns, _root_of_ratio, bootstrap, "not estimable: no replicates")


def _root_of_ratio(totals: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(totals[..., 0] / totals[..., 1]))
