"""Forest plot: which side is better, by how much, and how sure that is."""

from __future__ import annotations

import altair as alt
import polars as pl

from daydreaming_dagster.analysis.plots.drawing import (
    INK,
    MID,
    ROW_HEIGHT,
    WIDTH,
    Chart,
    data,
    draw_nothing,
    finish,
    stack_panels,
)

_TITLE = "Differences between groups"
_LONGEST_LABEL = 460
"""Pixels: two long names and what they are names of."""


def plot_contrasts(comparison: pl.DataFrame) -> Chart:
    """A row per comparison: difference in points with its 95 % interval, filled where Holm's p is below .05.

    Args:
        comparison: a frame of `COMPARISON_SCHEMA`; a column `by` besides says what is compared.
    """
    shown = comparison.filter("is_comparable")
    left_out = comparison.height - shown.height
    if shown.height == 0:
        return draw_nothing(_TITLE, "no two groups can be compared")
    number = shown["p_holm"].map_elements(_p_value, return_dtype=pl.String, skip_nulls=False)
    unpaired = pl.when(pl.col("design") == "unpaired").then(pl.lit(" (unpaired)")).otherwise(pl.lit(""))
    # Templates of two stages may have the same names, and would lie on each other in one row.
    kind = pl.format(" ({})", pl.col("by").str.replace_all("_", " ")) if "by" in shown.columns else pl.lit("")
    rows = shown.select(
        "construct",
        "effect",
        "low",
        "high",
        (pl.format("{} − {}", "a", "b") + kind).alias("contrast"),
        pl.col("p_holm").fill_null(1.0).lt(0.05).alias("found"),
        pl.format("{} combinations{}, {}", "n_clusters", unpaired, number).alias("facts"),
    )
    base = alt.Chart().encode(y=alt.Y("contrast:N", title=None, sort=None, axis=alt.Axis(labelLimit=_LONGEST_LABEL)))
    axis = alt.Axis(labelSeparation=8, labelOverlap=True)
    x = alt.X(
        "effect:Q", title="Difference, points (right: the first is better)", scale=alt.Scale(zero=True), axis=axis
    )
    zero = alt.Chart().mark_rule(color=MID, strokeDash=[4, 3]).encode(x=alt.datum(0))
    span = base.mark_rule(color=INK, size=2).encode(x=alt.X("low:Q"), x2="high:Q")
    point = base.mark_point(size=70, color=INK, strokeWidth=1.6, opacity=1).encode(
        x=x, fill=alt.condition("datum.found", alt.value(INK), alt.value("white"))
    )
    facts = base.mark_text(align="left", dx=10, color=INK, fontSize=10).encode(x=alt.value(WIDTH), text="facts:N")
    layers = alt.layer(zero, span, point, facts, data=data(rows)).properties(width=WIDTH, height=alt.Step(ROW_HEIGHT))
    note = f"; {left_out} comparisons left out as not comparable" if left_out else ""
    return finish(
        stack_panels(layers, "construct"),
        _TITLE,
        f"Filled: p < .05 after Holm's adjustment. 95 % intervals over concept combinations{note}.",
    )


def _p_value(p: float | None) -> str:
    if p is None:
        return "no p"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")
