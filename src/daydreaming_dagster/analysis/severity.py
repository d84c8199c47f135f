"""How strict each evaluator is, compared with the others on the same essays."""

from __future__ import annotations

import numpy as np

from daydreaming_dagster.analysis.estimates import FEW_CLUSTERS, Estimate
from daydreaming_dagster.analysis.panels import Panel
from daydreaming_dagster.analysis.statistics.additive import draw_column_effects, fit_additive
from daydreaming_dagster.analysis.statistics.bootstrap import (
    MIN_CLUSTERS,
    BoolArray,
    ClusterBootstrap,
    FloatArray,
    IntArray,
    percentile_interval,
)

ALONE = "severity not estimable: no other evaluator saw the same essays"


def estimate_severities(panel: Panel, draws: int, by: str = "evaluator") -> list[Estimate]:
    """Points each evaluator (or judge) gives above the average one on the same essays, by code.

    Args:
        panel: ratings of one construct.
        draws: of the bootstrap over combinations.
        by: `evaluator`, a judge with one template, or `judge`; judges are compared within template and essay.
    """
    column = panel.evaluator if by == "evaluator" else panel.judge
    n_columns = len(panel.evaluators) if by == "evaluator" else len(panel.judges)
    row = panel.essay if by == "evaluator" else panel.essay * len(panel.templates) + panel.template
    n_rows = len(panel.essays) * (1 if by == "evaluator" else len(panel.templates))
    row_cluster = np.repeat(panel.essay_combo, n_rows // len(panel.essays))
    fit = fit_additive(row, column, panel.value, n_rows, n_columns)
    drawn = draw_column_effects(fit, row, column, row_cluster, ClusterBootstrap(panel.n_clusters, draws))
    return [
        _severity(panel, column == code, float(fit.column[code]), drawn[:, code], fit.column_part, code)
        for code in range(n_columns)
    ]


def _severity(
    panel: Panel,
    chosen: BoolArray,
    effect: float,
    drawn: FloatArray,
    part: IntArray,
    code: int,
) -> Estimate:
    n, n_clusters = int(chosen.sum()), panel.clusters_of(chosen)
    together = int((part == part[code]).sum())
    if together < 2:
        return Estimate(
            n=n, n_clusters=n_clusters, note="severity not estimable: no other evaluator saw the same essays"
        )
    note = "" if together == part.size else "compared only with evaluators of the same essays"
    low, high = percentile_interval(drawn, n_clusters)
    few = FEW_CLUSTERS if n_clusters < MIN_CLUSTERS else ""
    return Estimate(effect, low, high, n, n_clusters, note or few)
