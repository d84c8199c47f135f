"""Which pairs of concepts do better or worse together than each by itself would suggest."""

from __future__ import annotations

import altair as alt
import polars as pl

from daydreaming_dagster.analysis.plots.drawing import INK, Chart, data, draw_nothing, finish, stack_panels

_TITLE = "Concepts and their pairs"
_MAX_NUMBERS = 14


def plot_concept_effects(effects: pl.DataFrame) -> Chart:
    """A matrix of concepts: main effects on the diagonal, pair effects beside it; filled up, hollow down.

    Args:
        effects: a frame of `CONCEPT_EFFECTS_SCHEMA`.
    """
    known = effects.filter(pl.col("estimate").is_not_null())
    if known.height == 0:
        return draw_nothing(_TITLE, "no effects can be estimated")
    rows = _fields(known)
    count = rows["concept_a"].n_unique()
    step = 52 if count <= _MAX_NUMBERS else max(14, 620 // count)
    base = alt.Chart().encode(
        x=alt.X("concept_a:N", title=None, axis=alt.Axis(labelAngle=-45)), y=alt.Y("concept_b:N", title=None)
    )
    main_effects = base.transform_filter("datum.effect == 'main'")
    frame_of_main = main_effects.mark_rect(fill="#efefef", stroke=INK, strokeWidth=0.5)
    fills = alt.Scale(domain=["better", "worse"], range=["#8c8c8c", "white"])
    circle = base.mark_point(stroke=INK, strokeWidth=1.4, shape="circle").encode(
        size=alt.Size("size:Q", title="Points", scale=alt.Scale(range=[4, step * step * 0.24])),
        fill=alt.Fill("direction:N", title="Than expected", scale=fills),
    )
    layers = [frame_of_main, circle]
    if count <= _MAX_NUMBERS:
        layers.append(base.mark_text(fontSize=9, dy=step // 2 - 7, color=INK).encode(text="number:N"))
    chart = alt.layer(*layers, data=data(rows)).properties(width=alt.Step(step), height=alt.Step(step))
    total = known.select(pl.col("n_clusters_total").max()).item()
    found = known.filter(pl.col("p_fdr") < 0.05).height
    return finish(
        stack_panels(chart, "construct"),
        _TITLE,
        [
            "Grey fields: a concept against the average one. Others: a pair beyond what its two concepts add up to.",
            f"Points, from {total} combinations. * false-discovery rate below .05: {found} of {known.height} effects.",
        ],
    )


def _fields(known: pl.DataFrame) -> pl.DataFrame:
    """One row per field of the matrix: main effects on the diagonal, each pair on both sides of it."""
    pairs = known.filter(pl.col("effect") == "pair")
    mirrored = pairs.rename({"concept_a": "concept_b", "concept_b": "concept_a"}).select(pairs.columns)
    main = known.filter(pl.col("effect") == "main").with_columns(concept_b="concept_a")
    words = pl.col("estimate").map_elements(lambda value: f"{value:+.2f}".replace("-", "−"), return_dtype=pl.String)
    star = pl.when(pl.col("p_fdr") < 0.05).then(pl.lit(" *")).otherwise(pl.lit(""))
    return pl.concat([main, pairs, mirrored]).select(
        "construct",
        "effect",
        "concept_a",
        "concept_b",
        pl.col("estimate").abs().alias("size"),
        pl.when(pl.col("estimate") >= 0).then(pl.lit("better")).otherwise(pl.lit("worse")).alias("direction"),
        (words + star).alias("number"),
    )
