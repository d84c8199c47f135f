"""How the scores lie on their scale, and whether longer essays get more."""

from __future__ import annotations

import altair as alt
import numpy as np
import polars as pl

from daydreaming_dagster.analysis.estimates import PER_WORDS
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
    two_line_facet,
)
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.statistics.bootstrap import (
    MIN_CLUSTERS,
    FloatArray,
    IntArray,
    as_codes,
    clustered_standard_error,
)

_HISTOGRAM, _LENGTH = "Scores by judge", "Essay length and score"
_WORDS = "essay_length_words"
_LENGTH_GROUPS = 6
_LEAST_OF_A_GROUP = 5


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
        bars.facet(facet=two_line_facet("panel"), columns=_count_columns(rated["evaluation_template"])),
        _HISTOGRAM,
        "A pile at an end of the scale means that the judge cannot tell the essays there apart.",
    )


def _bars(ratings: pl.DataFrame, rated: pl.DataFrame, step: float) -> pl.DataFrame:
    """One row per judge, template and score: where the bar is and how high, and what its panel is called."""
    evaluator = ("judge_model", "evaluation_template")
    asked = ratings.group_by(evaluator).agg(pl.len().alias("asked"))
    title = pl.format("{}\n{}: n = {}, {} missing", *evaluator, "n", pl.col("asked") - pl.col("n"))
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
    rated = select_rated(ratings).filter(pl.col(_WORDS).is_not_null())
    if rated.height == 0:
        return draw_nothing(_LENGTH, "no ratings of essays whose length is known")
    rows = []
    for (construct, judge), group in sorted(rated.group_by("construct", "judge_model")):
        panel = f"{judge}\n{construct}: n = {group.height}"
        rows += [{"panel": panel, **row} for row in _means_by_length(group)]
    frame = pl.DataFrame(rows)
    low, high = float(rated["scale_min"].min()), float(rated["scale_max"].max())  # type: ignore[arg-type]
    base = alt.Chart()
    x = alt.X("words:Q", title="Essay length, words", scale=alt.Scale(domain=_words_axis(rated), nice=False, padding=8))
    y, y_low = ratings_on_y("mean", low, high), ratings_on_y("low", low, high)
    layers = alt.layer(
        base.mark_line(color=PALE, size=1.5).encode(x=x, y=y),
        base.mark_rule(color=INK, size=1.5).encode(x=x, y=y_low, y2="high:Q"),
        base.mark_point(color=INK, filled=True, opacity=1, size=45).encode(x=x, y=y),
        data=data(frame),
    ).properties(width=220, height=150)
    return finish(
        layers.facet(facet=two_line_facet("panel"), columns=_count_columns(rated["judge_model"])),
        _LENGTH,
        [
            f"Groups of about equal number, at most {_LENGTH_GROUPS}, of about {_LEAST_OF_A_GROUP} ratings or more.",
            f"More is better; 95 % intervals from {MIN_CLUSTERS} combinations on.",
        ],
    )


def _words_axis(rated: pl.DataFrame) -> list[float]:
    """From the shortest to the longest essay, but never so near that lengths look different that hardly are."""
    shortest, longest = (float(end) for end in rated.select(low=pl.min(_WORDS), high=pl.max(_WORDS)).row(0))
    missing = max(0.0, 2 * PER_WORDS - (longest - shortest))
    start = max(0.0, shortest - missing / 2)
    return [start, max(longest, start + 2 * PER_WORDS)]


def _count_columns(inner: pl.Series) -> int:
    """Panels side by side: in three columns where that puts the values of what changes fastest below each other."""
    return 3 if inner.n_unique() == 3 else 2


def _means_by_length(group: pl.DataFrame) -> list[dict[str, float | None]]:
    words, value = group[_WORDS].to_numpy(), group["value"].to_numpy()
    cluster, _ = as_codes(group.select(pl.coalesce("combo_id", "essay_gen_id")).to_series().to_numpy().astype(str))
    n_groups = max(1, min(_LENGTH_GROUPS, group.height // _LEAST_OF_A_GROUP))
    low, high = (group[end].to_numpy() for end in ("scale_min", "scale_max"))
    edges = np.unique(np.quantile(words, np.linspace(0, 1, n_groups + 1)))
    place = np.clip(np.searchsorted(edges, words, side="right") - 1, 0, max(0, edges.size - 2))
    rows: list[dict[str, float | None]] = []
    for code in np.unique(place):
        chosen = place == code
        mean, reach = float(value[chosen].mean()), _reach(value[chosen], cluster[chosen])
        ends = (None, None) if reach is None else (max(mean - reach, low.min()), min(mean + reach, high.max()))
        rows.append({"words": float(words[chosen].mean()), "mean": mean, "low": ends[0], "high": ends[1]})
    return rows


def _reach(value: FloatArray, cluster: IntArray) -> float | None:
    """Half of the 95 % interval of a mean over combinations; None from so few that there is no honest one."""
    from scipy.special import stdtrit

    n_clusters = np.unique(cluster).size
    if n_clusters < MIN_CLUSTERS:
        return None
    return float(stdtrit(n_clusters - 1, 0.975)) * clustered_standard_error(value, cluster)
