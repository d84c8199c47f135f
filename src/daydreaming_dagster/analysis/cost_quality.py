"""What each generating model's essays cost and how good they are."""

from __future__ import annotations

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.adjusted_means import adjust_essays
from daydreaming_dagster.analysis.estimates import ESTIMATE_SCHEMA, estimate_from_sums, or_null, ratio
from daydreaming_dagster.analysis.panels import Panel, iterate_panels
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.bootstrap import ClusterBootstrap

COST_QUALITY_SCHEMA: Schema = {
    "construct": pl.String(),
    "generator_model": pl.String(),
    **ESTIMATE_SCHEMA,
    "scale_min": pl.Float64(),
    "scale_max": pl.Float64(),
    "cost_usd_per_essay": pl.Float64(),
}
"""One row per construct and generating model.

`estimate` is the mean of its essays in points, freed of the judges' severity, with its 95 % interval over combinations;
`n` counts essays. `cost_usd_per_essay`: drafts and essays, per essay made; null when unknown for some of the calls.
"""


def build_cost_quality(ratings: pl.DataFrame, budget: pl.DataFrame, draws: int = 1000) -> pl.DataFrame:
    """Mean rating and cost by generating model; see `COST_QUALITY_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        budget: a frame of `BUDGET_SCHEMA` over the same generations.
        draws: of the bootstrap.
    """
    costs = _cost_per_essay(budget)
    rows = [row for panel in iterate_panels(ratings) for row in _rows(panel, costs, draws)]
    return table_of_rows(rows, COST_QUALITY_SCHEMA)


def _rows(panel: Panel, costs: dict[str, float | None], draws: int) -> list[dict[str, object]]:
    value = adjust_essays(panel).adjusted
    writers = dict(panel.frame.select("essay_gen_id", "generator_model").rows())
    writer = np.array([writers[essay] or "" for essay in panel.essays])
    bootstrap = ClusterBootstrap(panel.n_clusters, draws)
    rows: list[dict[str, object]] = []
    for name in sorted(set(writer.tolist()) - {""}):
        chosen = writer == name
        columns = np.stack([value[chosen], np.ones(int(chosen.sum()))], axis=1)
        figure = estimate_from_sums(panel.essay_combo[chosen], columns, ratio, bootstrap, "no ratings")
        rows.append(
            {
                "construct": panel.construct,
                "generator_model": name,
                **figure.row(),
                "scale_min": or_null(panel.frame["scale_min"].to_numpy()[0]),
                "scale_max": or_null(panel.frame["scale_max"].to_numpy()[0]),
                "cost_usd_per_essay": costs.get(name),
            }
        )
    return rows


def _cost_per_essay(budget: pl.DataFrame) -> dict[str, float | None]:
    spent = {
        row["llm_model_id"]: row["cost_usd"]
        for row in budget.filter(pl.col("level") == "generator", pl.col("calls_of_unknown_cost") == 0).to_dicts()
    }
    essays = budget.filter(pl.col("level") == "model", pl.col("stage") == "essay")
    made = dict(essays.select("llm_model_id", "generations").rows())
    return {
        model: cost / made[model] if cost is not None and made.get(model) else None for model, cost in spent.items()
    }
