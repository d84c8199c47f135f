"""How the scores lie on their scale, and whether longer essays get more."""

from __future__ import annotations

import altair as alt
import numpy as np
import polars as pl

from daydreaming_dagster.analysis.plots.drawing import (
    INK,
    MID,
    PALE,
    Chart,
    data,
    draw_nothing,
    finish,
    points_axis,
    ratings_on_y,
)
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.statistics.bootstrap import as_codes, clustered_standard_error

_HISTOGRAM, _LENGTH = "Scores by judge", "Essay length and score"
_LENGTH_GROUPS = 6


def plot_score_histograms(ratings: pl.DataFrame) -> Chart:
    """A histogram per judge and template over the whole scale, both ends included.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
    """
    rated = select_rated(ratings)
    if rated.height == 0:
        return draw_nothing(_HISTOGRAM, "no ratings")
    step = _step_of(rated)
    low, high = float(rated["scale_min"].min()), float(rated["scale_max"].max())  # type: ignore[arg-type]
    scale = alt.Scale(domain=[low - step / 2, high + step / 2], nice=False)
    bars = (
        alt.Chart(data(_bars(ratings, rated, step)))
        .mark_rect(color=MID)
        .encode(
            x=alt.X("left:Q", title="Score, points (whole scale)", scale=scale, axis=points_axis(low, high)),
            x2="right:Q",
            y=alt.Y("share:Q", title="Share of ratings", axis=alt.Axis(format="%", tickCount=4)),
            y2=alt.datum(0),
        )
        .properties(width=220, height=110)
    )
    return finish(
        bars.facet(facet=alt.Facet("panel:N", sort=None), columns=_count_columns(rated["evaluation_template"])),
        _HISTOGRAM,
        "A pile at an end of the scale means that the judge cannot tell the essays there apart.",
    )


def _bars(ratings: pl.DataFrame, rated: pl.DataFrame, step: float) -> pl.DataFrame:
    """One row per judge, template and score: where the bar is and how high, and what its panel is called."""
    evaluator = ("judge_model", "evaluation_template")
    asked = ratings.group_by(evaluator).agg(pl.len().alias("asked"))
    title = pl.format("{} · {}: n = {}, {} missing", *evaluator, "n", pl.col("asked") - pl.col("n"))
    point = (pl.col("score") / step).round(0) * step
    return (
        rated.group_by(*evaluator, point.alias("point"))
        .agg(pl.len().alias("count"))
        .with_columns(n=pl.col("count").sum().over(evaluator))
        .join(asked, on=evaluator)
        .sort(*evaluator, "point")
        .select(
            title.alias("panel"),
            (pl.col("count") / pl.col("n")).alias("share"),
            (pl.col("point") - 0.45 * step).alias("left"),
            (pl.col("point") + 0.45 * step).alias("right"),
        )
    )


def _step_of(rated: pl.DataFrame) -> float:
    """Width of a bar: one point, or a tenth of a scale shorter than five points."""
    span = float((rated["scale_max"] - rated["scale_min"]).max())  # type: ignore[arg-type]
    return 1.0 if span >= 5 or span <= 0 else span / 10


def plot_length(ratings: pl.DataFrame) -> Chart:
    """Mean rating of essays of similar length, a panel per judge, with 95 % intervals over combinations.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
    """
    rated = select_rated(ratings).filter(pl.col("essay_length_words").is_not_null())
    if rated.height == 0:
        return draw_nothing(_LENGTH, "no ratings of essays whose length is known")
    rows = []
    for (construct, judge), group in sorted(rated.group_by("construct", "judge_model")):
        panel = f"{construct} · {judge}: n = {group.height}"
        rows += [{"panel": panel, **row} for row in _means_by_length(group)]
    frame = pl.DataFrame(rows)
    low, high = float(rated["scale_min"].min()), float(rated["scale_max"].max())  # type: ignore[arg-type]
    base = alt.Chart()
    x = alt.X("words:Q", title="Essay length, words", scale=alt.Scale(zero=False, padding=12))
    y, y_low = ratings_on_y("mean", low, high), ratings_on_y("low", low, high)
    layers = alt.layer(
        base.mark_line(color=PALE, size=1.5).encode(x=x, y=y),
        base.mark_rule(color=INK, size=1.5).encode(x=x, y=y_low, y2="high:Q"),
        base.mark_point(color=INK, filled=True, opacity=1, size=45).encode(x=x, y=y),
        data=data(frame),
    ).properties(width=220, height=150)
    return finish(
        layers.facet(facet=alt.Facet("panel:N", sort=None), columns=_count_columns(rated["judge_model"])),
        _LENGTH,
        f"Essays in {_LENGTH_GROUPS} groups of equal number by length; more is better; 95 % intervals.",
    )


def _count_columns(inner: pl.Series) -> int:
    """Panels side by side: in three columns where that puts the values of what changes fastest below each other."""
    return 3 if inner.n_unique() == 3 else 2


def _means_by_length(group: pl.DataFrame) -> list[dict[str, float | None]]:
    words, value = group["essay_length_words"].to_numpy(), group["value"].to_numpy()
    cluster, _ = as_codes(group.select(pl.coalesce("combo_id", "essay_gen_id")).to_series().to_numpy().astype(str))
    edges = np.unique(np.quantile(words, np.linspace(0, 1, _LENGTH_GROUPS + 1)))
    place = np.clip(np.searchsorted(edges, words, side="right") - 1, 0, max(0, edges.size - 2))
    rows: list[dict[str, float | None]] = []
    for code in np.unique(place):
        chosen = place == code
        mean, error = float(value[chosen].mean()), clustered_standard_error(value[chosen], cluster[chosen])
        known = np.isfinite(error)
        rows.append(
            {
                "words": float(words[chosen].mean()),
                "mean": mean,
                "low": mean - 1.96 * error if known else None,
                "high": mean + 1.96 * error if known else None,
            }
        )
    return rows
