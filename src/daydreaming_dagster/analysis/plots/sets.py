"""Pictures of sets of essays: how soon they repeat themselves, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from daydreaming_dagster.analysis.plots.drawing import (
    DASHES,
    INK,
    MID,
    PALE,
    SHAPES,
    WIDTH,
    Chart,
    data,
    draw_nothing,
    finish,
    ratings_on_y,
    stack_panels,
)

_NO_REPETITION = 1e-9
_RAREFACTION, _COST = "Unique essays by number of essays", "Cost and quality"


def plot_rarefaction(rarefaction: pl.DataFrame, group_by: str = "generator_model") -> Chart:
    """A curve per group: unique essays expected among so many; the closer to the diagonal, the less repetition.

    Args:
        rarefaction: a frame of `RAREFACTION_SCHEMA`.
        group_by: which grouping to show.
    """
    rows = rarefaction.filter(pl.col("group_by") == group_by).with_columns(
        label=pl.format("{} (n = {}, {} combinations)", "group", "n", "n_clusters")
    )
    if rows.height == 0:
        return draw_nothing(_RAREFACTION, "fewer than five essays with text in every group")
    base = alt.Chart()
    x = alt.X("n_sampled:Q", title="Essays", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("estimate:Q", title="Unique essays expected")
    line = base.mark_line(color=INK, size=1.8).encode(
        x=x, y=y, strokeDash=alt.StrokeDash("label:N", title=None, scale=alt.Scale(range=list(DASHES)))
    )
    band = base.mark_area(color=PALE, opacity=0.45).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", detail="label:N")
    diagonal = base.mark_line(color=MID, size=0.8).encode(x=x, y="n_sampled:Q")
    kept = ("label", "n_sampled", "estimate", "low", "high")
    layers = alt.layer(band, diagonal, line, data=data(rows.select(kept))).properties(width=WIDTH, height=320)
    embedder = ", ".join(sorted(rows["embedder"].unique().to_list()))
    notes = ["Thin line: no repetition at all. Bands: 95 % intervals.", f"Alike from a cosine of .8 on, by {embedder}."]
    if (rows["n_sampled"] - rows["estimate"]).abs().max() < _NO_REPETITION:  # type: ignore[operator]
        notes.append("No essay repeats another: all curves lie on the thin line.")
    return finish(layers, _RAREFACTION, notes)


def plot_cost_quality(cost_quality: pl.DataFrame) -> Chart:
    """Cost of an essay against its mean rating, a point per generating model, with the rating's interval.

    Models are told apart by shapes with a legend, and where there are more than shapes by numbers, the cheapest first.

    Args:
        cost_quality: a frame of `COST_QUALITY_SCHEMA`.
    """
    rows = cost_quality.filter(pl.col("estimate").is_not_null(), pl.col("cost_usd_per_essay").is_not_null())
    if rows.height == 0:
        return draw_nothing(_COST, "no model has both ratings and a known cost")
    models = rows.sort("cost_usd_per_essay")["generator_model"].unique(maintain_order=True).to_list()
    numbers = {model: str(place) for place, model in enumerate(models, 1)}
    has_shapes = len(models) <= len(SHAPES)
    if has_shapes:
        sizes = pl.format("{} (n = {})", "generator_model", "n").str.join(", ").over("construct")
        rows = rows.with_columns(panel=pl.format("{}: {}", "construct", sizes))
    else:
        panel = pl.format("{}: n = {}", "construct", pl.col("n").sum().over("construct"))
        rows = rows.with_columns(panel=panel, number=pl.col("generator_model").replace_strict(numbers))
    base = alt.Chart()
    costs = rows["cost_usd_per_essay"]
    logarithmic = bool((costs > 0).all()) and costs.n_unique() > 1
    x = alt.X(
        "cost_usd_per_essay:Q",
        title="Cost of draft and essay, USD" + (" (logarithmic)" if logarithmic else ""),
        scale=alt.Scale(type="log", nice=False, padding=30) if logarithmic else alt.Scale(padding=50),
        axis=alt.Axis(format="~g", tickCount=5, grid=False),
    )
    low, high = (rows.select(end).item() for end in (pl.col("scale_min").min(), pl.col("scale_max").max()))
    y, y_low = ratings_on_y("estimate", low, high), ratings_on_y("low", low, high)
    points = base.mark_point(color=INK, filled=True, opacity=1, size=80).encode(x=x, y=y)
    if has_shapes:
        shape = alt.Shape("generator_model:N", title=None, scale=alt.Scale(range=list(SHAPES)))
        marks = [points.encode(shape=shape)]
    else:
        marks = [points, base.mark_text(color=INK, dx=10, dy=-8).encode(x=x, y=y, text="number:N")]
    rules = base.mark_rule(color=INK, size=1.5).encode(x=x, y=y_low, y2="high:Q")
    layers = alt.layer(rules, *marks, data=data(rows)).properties(width=WIDTH, height=180)
    notes = ["n essays; 95 % intervals over concept combinations.", *([] if has_shapes else _list_numbers(models))]
    return finish(stack_panels(layers, "panel"), _COST, notes)


def _list_numbers(models: Sequence[str]) -> list[str]:
    """Which model has which number, a few to a line."""
    words = [f"{place} {model}" for place, model in enumerate(models, 1)]
    return [", ".join(words[start : start + 4]) for start in range(0, len(words), 4)]
