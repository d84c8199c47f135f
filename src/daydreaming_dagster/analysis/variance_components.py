"""Where the variance of the ratings comes from, and which panel of judges would be reliable enough for its price."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.estimates import ESTIMATE_SCHEMA, Estimate, join_notes, or_null
from daydreaming_dagster.analysis.g_study import MIN_LEVELS, GStudy, run_g_study
from daydreaming_dagster.analysis.panels import Panel, iterate_panels
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.bootstrap import percentile_interval

VARIANCE_COMPONENTS_SCHEMA: Schema = {
    "construct": pl.String(),
    "component": pl.String(),
    **ESTIMATE_SCHEMA,
    "share": pl.Float64(),
    "share_low": pl.Float64(),
    "share_high": pl.Float64(),
    "n_essays": pl.Int64(),
    "n_templates": pl.Int64(),
    "n_judges": pl.Int64(),
    "replicates_per_cell": pl.Float64(),
}
"""One row per construct and source of variance, in squared points.

`component` is a facet (`essay`, `template`, `judge`), facets that interact (`essay × judge`), or `replicate`, the noise
of a repeated rating. Without replicates the noise is part of the highest interaction, and the row says so. `share` is
that of the sum of the components that are estimable; facets with fewer than three levels are not.
"""

D_STUDY_SCHEMA: Schema = {
    "construct": pl.String(),
    "n_templates": pl.Int64(),
    "n_judges": pl.Int64(),
    "n_replicates": pl.Int64(),
    "ratings_per_essay": pl.Int64(),
    "cost_usd_per_essay": pl.Float64(),
    "e_rho2": pl.Float64(),
    "e_rho2_low": pl.Float64(),
    "e_rho2_high": pl.Float64(),
    "phi": pl.Float64(),
    "phi_low": pl.Float64(),
    "phi_high": pl.Float64(),
    "n": pl.Int64(),
    "n_clusters": pl.Int64(),
    "is_current": pl.Boolean(),
    "is_cheapest": pl.Boolean(),
    "note": pl.String(),
}
"""One row per construct and panel: what reliability a mean over that many templates, judges and replicates would have.

`e_rho2` is for comparing essays that the same panel rated, `phi` for the values themselves. Costs are those of the
ratings at hand, the mean over judges; null when unknown. `is_current` marks the panel of the data, `is_cheapest` the
one of lowest cost (of fewest ratings, where costs are unknown) whose phi reaches the wanted one.
"""

WANTED_PHI = 0.8
_MAX_JUDGES = 12
_MAX_REPLICATES = 3


def build_variance_components(ratings: pl.DataFrame, draws: int = 1000) -> pl.DataFrame:
    """The G study of each construct; see `VARIANCE_COMPONENTS_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        draws: of the bootstrap over combinations.
    """
    rows = [row for panel in iterate_panels(ratings) for row in _component_rows(panel, _study(panel, draws))]
    return table_of_rows(rows, VARIANCE_COMPONENTS_SCHEMA)


def build_d_study(ratings: pl.DataFrame, draws: int = 1000, wanted_phi: float = WANTED_PHI) -> pl.DataFrame:
    """Reliability and price of other panels for each construct; see `D_STUDY_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        draws: of the bootstrap over combinations.
        wanted_phi: what the cheapest panel has to reach.
    """
    rows = [row for panel in iterate_panels(ratings) for row in _panel_rows(panel, _study(panel, draws), wanted_phi)]
    return table_of_rows(rows, D_STUDY_SCHEMA)


def _study(panel: Panel, draws: int) -> GStudy:
    facets = {"essay": panel.essay, "template": panel.template, "judge": panel.judge}
    return run_g_study(facets, panel.value, panel.combo, panel.n_clusters, draws)


def _component_rows(panel: Panel, study: GStudy) -> Iterator[dict[str, object]]:
    figures: dict[str, Estimate] = {}
    drawn: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    highest = max(study.estimate.variance, key=len)
    for names, values in study.drawn.variance.items():
        label = " × ".join(names)
        figure = study.component(names)
        if names == highest and not study.has_replicates and math.isfinite(figure.estimate):
            figure = _with_note(figure, "contains the noise of a repeated rating")
        figures[label], drawn[label] = figure, np.maximum(values, 0.0)
    figures["replicate"], drawn["replicate"] = study.error(), np.maximum(study.drawn.error, 0.0)
    known = [label for label, figure in figures.items() if math.isfinite(figure.estimate)]
    total = sum(figures[label].estimate for label in known)
    total_drawn = np.asarray(sum(drawn[label] for label in known))
    missing = f"shares leave out {', '.join(label for label in figures if label not in known and label != 'replicate')}"
    for label, figure in figures.items():
        share, low, high = math.nan, math.nan, math.nan
        if label in known and total > 0:
            share = figure.estimate / total
            part = np.divide(drawn[label], total_drawn, out=np.full_like(total_drawn, np.nan), where=total_drawn > 0)
            low, high = percentile_interval(part, study.n_clusters)
        contains = [f"contains {name} effects: one {name} only" for name in study.left_out if label == "essay"]
        partial = missing if label in known and not missing.endswith("out ") else ""
        yield {
            "construct": panel.construct,
            "component": label,
            **_with_note(figure, join_notes(*contains, partial)).row(),
            "share": or_null(share),
            "share_low": or_null(low),
            "share_high": or_null(high),
            "n_essays": len(panel.essays),
            "n_templates": len(panel.templates),
            "n_judges": len(panel.judges),
            "replicates_per_cell": panel.value.size / _cells(panel),
        }


def _with_note(figure: Estimate, note: str) -> Estimate:
    joined = join_notes(figure.note, note)
    return Estimate(figure.estimate, figure.low, figure.high, figure.n, figure.n_clusters, joined)


def _cells(panel: Panel) -> int:
    return int(np.unique(panel.essay * len(panel.evaluators) + panel.evaluator).size)


def _panel_rows(panel: Panel, study: GStudy, wanted_phi: float) -> list[dict[str, object]]:
    fixed, templates = _templates_to_try(panel)
    judges = range(1, _MAX_JUDGES + 1) if "judge" in study.levels else (1,)
    replicates = range(1, _MAX_REPLICATES + 1) if study.has_replicates else (1,)
    cost = _cost_per_rating(panel)
    current = (len(panel.templates), len(panel.judges), max(1, round(panel.value.size / _cells(panel))))
    rows: list[dict[str, object]] = []
    for n_templates, n_judges, n_replicates in product(templates, judges, replicates):
        sizes = {"template": n_templates, "judge": n_judges}
        figures = study.reliability({name: sizes[name] for name in study.levels if name in sizes}, n_replicates, fixed)
        n_ratings = n_templates * n_judges * n_replicates
        row: dict[str, object] = {
            "construct": panel.construct,
            "n_templates": n_templates,
            "n_judges": n_judges,
            "n_replicates": n_replicates,
            "ratings_per_essay": n_ratings,
            "cost_usd_per_essay": or_null(cost * n_ratings),
            "n": study.n,
            "n_clusters": study.n_clusters,
            "is_current": (n_templates, n_judges, n_replicates) == current,
            "is_cheapest": False,
        }
        for name, figure in figures.items():
            row |= figure.columns(name)
        row["note"] = join_notes(figures["phi"].note, *_caveats(panel, study, fixed)) or None
        rows.append(row)
    reached = [row for row in rows if isinstance(row["phi"], float) and row["phi"] >= wanted_phi]
    if reached:
        min(reached, key=_price)["is_cheapest"] = True
    return rows


def _templates_to_try(panel: Panel) -> tuple[tuple[str, ...], list[int]]:
    """Which facets are all there is, and how many templates to consider."""
    count = len(panel.templates)
    return (("template",), [count]) if 1 < count < MIN_LEVELS else ((), list(range(1, count + 1)))


def _caveats(panel: Panel, study: GStudy, fixed: tuple[str, ...]) -> list[str]:
    caveats = [f"for these {len(panel.templates)} templates only"] if fixed else []
    if "template" in study.left_out:
        caveats.append("for this template only")
    return caveats


def _cost_per_rating(panel: Panel) -> float:
    """Mean over judges of the mean known cost of their ratings, USD; nan when a judge's is not known at all."""
    by_judge = panel.frame.group_by("judge_model").agg(pl.col("cost_usd").mean())["cost_usd"]
    mean = by_judge.mean() if by_judge.null_count() == 0 else None
    return float(mean) if isinstance(mean, float) else math.nan


def _price(row: dict[str, object]) -> tuple[float, ...]:
    cost, ratings = row["cost_usd_per_essay"], row["ratings_per_essay"]
    known = cost if isinstance(cost, float) else math.inf
    phi = row["phi"]
    return (known, float(ratings) if isinstance(ratings, int) else math.inf, -phi if isinstance(phi, float) else 0.0)
