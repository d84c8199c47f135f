"""The best entries as they were seen and as they probably are, and the best trade-offs of two constructs."""

from __future__ import annotations

import altair as alt
import numpy as np
import polars as pl

from daydreaming_dagster.analysis.plots.drawing import (
    INK,
    MID,
    PALE,
    ROW_HEIGHT,
    WIDTH,
    Chart,
    data,
    draw_nothing,
    finish,
    points_axis,
    stack_panels,
    two_digits,
)
from daydreaming_dagster.analysis.statistics.bootstrap import BoolArray, FloatArray

_TITLE, _FRONT = "Ranking", "Novelty and coherence"
_LISTED = 30
_LONGEST_LABEL = 380
"""Pixels: two concepts with long names."""


def plot_ranking(
    ranking: pl.DataFrame, level: str = "combination", top: int = 20, scale: tuple[float, float] | None = None
) -> Chart:
    """The best entries: raw mean (hollow), shrunken estimate with interval (filled), and P(top k).

    Args:
        ranking: a frame of `RANKING_SCHEMA`.
        level: `combination` or `essay`.
        top: how many entries of each construct to show.
        scale: ends of the rubric's scale, to be shown on the axis.
    """
    entries = ranking.filter(pl.col("level") == level)
    essays = pl.format("{} essays of {} combinations", pl.len().over("construct"), "n_clusters")
    combinations = pl.format("{} combinations", "n_clusters")
    entries = entries.with_columns(panel=combinations if level == "combination" else essays)
    chosen = entries.filter(pl.int_range(pl.len()).over("construct") < top)
    title = f"{_TITLE} of the {f'{top} best ' if chosen.height < entries.height else ''}{level}s"
    if chosen.height == 0:
        return draw_nothing(title, "no ratings")
    rows = _entries(chosen)
    axis_scale = alt.Scale(zero=False) if scale is None else alt.Scale(domain=list(scale), nice=False)
    where = "points" if scale is None else "points (whole scale)"
    base = alt.Chart().encode(y=alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=_LONGEST_LABEL)))
    ticks = alt.Axis() if scale is None else points_axis(*scale)
    x = alt.X("point:Q", title=f"Mean rating, {where}, more is better", scale=axis_scale, axis=ticks)
    layers = alt.layer(
        base.mark_rule(color=PALE, size=1).encode(x=alt.X("point:Q"), x2="raw_mean:Q"),
        base.mark_rule(color=INK, size=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(color=INK, fill="white", opacity=1, size=50).encode(x=alt.X("raw_mean:Q")),
        base.mark_point(color=INK, filled=True, opacity=1, size=55).encode(x=x),
        base.mark_text(align="left", dx=10, fontSize=10, color=INK).encode(x=alt.value(WIDTH), text="facts:N"),
        data=data(rows),
    ).properties(width=WIDTH, height=alt.Step(ROW_HEIGHT))
    notes = chosen["note"].drop_nulls().unique().to_list()
    drawn = "Hollow: as seen. Filled: drawn to the mean by the share of noise, with its 95 % interval."
    known = chosen["shrunken"].is_not_null().any()
    return finish(stack_panels(layers, "panel"), title, [drawn if known else "Means as seen.", *notes[:1]])


def _entries(chosen: pl.DataFrame) -> pl.DataFrame:
    """One row per entry: its points, what it is called, and what stands beside it."""
    rare = pl.col("p_top_k") < 0.005
    chance = pl.when(rare).then(pl.lit("< 0.01")).otherwise(pl.format("= {}", two_digits("p_top_k")))
    count = pl.format("n = {}", "n")
    top = pl.when(pl.col("k") == 1).then(pl.lit("P(best)")).otherwise(pl.format("P(top {})", "k"))
    written_by = pl.format("{} · {}", "id", "generator_model")
    return chosen.select(
        pl.format("{}: {}", "construct", "panel").alias("panel"),
        pl.when(pl.col("generator_model").is_null()).then("id").otherwise(written_by).alias("label"),
        pl.coalesce("shrunken", "adjusted_mean").alias("point"),
        "raw_mean",
        "low",
        "high",
        pl.when(pl.col("p_top_k").is_null())
        .then(count)
        .otherwise(pl.format("{} {}, {}", top, chance, count))
        .alias("facts"),
    )


def plot_front(
    ranking: pl.DataFrame,
    x: str = "novelty_judged",
    y: str = "coherence",
    scale: tuple[float, float] | None = None,
) -> Chart:
    """Essays by two constructs; those that none beats in both are joined, numbered and listed, with intervals.

    Args:
        ranking: a frame of `RANKING_SCHEMA`.
        x, y: the constructs.
        scale: ends of the rubrics' scale, to be shown on the axes.
    """
    title = _FRONT if (x, y) == ("novelty_judged", "coherence") else f"{x} and {y}"
    essays = ranking.filter(pl.col("level") == "essay").with_columns(point=pl.coalesce("shrunken", "adjusted_mean"))
    kept = ("id", "point", "low", "high")
    both = (
        essays.filter(pl.col("construct") == x)
        .select(kept)
        .join(essays.filter(pl.col("construct") == y).select(kept), on="id", suffix="_y")
        .sort("id")
    )
    if both.height == 0:
        return draw_nothing(title, f"no essay was rated on both {x} and {y}")
    both = both.with_columns(best=pl.Series(find_front(both["point"].to_numpy(), both["point_y"].to_numpy())))
    both = _number_best(both)
    return finish(
        _draw_front(both, x, y, scale),
        title,
        f"n = {both.height} essays rated on both. Numbered: beaten by none in both; bars: 95 % intervals.",
    )


def _draw_front(both: pl.DataFrame, x: str, y: str, scale: tuple[float, float] | None) -> Chart:
    axis = alt.Scale(zero=False) if scale is None else alt.Scale(domain=list(scale), nice=False)
    ticks = alt.Axis() if scale is None else points_axis(*scale)
    base = alt.Chart()
    at = {
        "x": alt.X("point:Q", title=f"{x}, points", scale=axis, axis=ticks),
        "y": alt.Y("point_y:Q", title=f"{y}, points", scale=axis, axis=ticks),
    }
    front = base.transform_filter("datum.best")
    return alt.layer(
        base.transform_filter("!datum.best").mark_point(color=MID, size=22, strokeWidth=0.8).encode(**at),
        front.mark_rule(color=PALE, size=1.5).encode(x=alt.X("low:Q"), x2="high:Q", y=at["y"]),
        front.mark_rule(color=PALE, size=1.5).encode(y=alt.Y("low_y:Q"), y2="high_y:Q", x=at["x"]),
        front.mark_line(color=INK, size=1, interpolate="step-before", strokeDash=[4, 3]).encode(**at),
        front.mark_point(color=INK, filled=True, opacity=1, size=60).encode(**at),
        front.mark_text(align="left", dx=5, dy=-7, fontSize=10, color=INK).encode(text="number:N", **at),
        _list_names(both),
        data=data(both),
    ).properties(width=WIDTH, height=WIDTH)


def _number_best(essays: pl.DataFrame) -> pl.DataFrame:
    """The essays with the number of each on the front, 1 for the highest; names would lie on each other there."""
    names = essays.filter("best").sort("point_y", descending=True)["id"].to_list()
    numbers = {name: str(number) for number, name in enumerate(names, start=1)}
    return essays.with_columns(number=pl.col("id").replace_strict(numbers, default=None, return_dtype=pl.String()))


def _list_names(essays: pl.DataFrame) -> Chart:
    """The names behind the numbers, beside the plot."""
    best = essays.filter("best").sort("point_y", descending=True)
    lines = [f"{number}  {name}" for number, name in best.select("number", "id").head(_LISTED).iter_rows()]
    if best.height > _LISTED:
        lines.append(f"and {best.height - _LISTED} more")
    listed = data(pl.DataFrame({"names": ["\n".join(lines)]}))
    text = alt.Chart(listed).mark_text(align="left", baseline="top", fontSize=10, color=INK, lineBreak="\n")
    return text.encode(x=alt.value(WIDTH + 14), y=alt.value(0), text="names:N")


def find_front(x: FloatArray, y: FloatArray) -> BoolArray:
    """Whether each point is beaten by no other in both coordinates, more being better."""
    order = np.lexsort((-y, -x))
    best = np.zeros(x.size, dtype=np.bool_)
    highest = -np.inf
    for index in order:
        if y[index] > highest:
            best[index] = True
            highest = y[index]
    return best
