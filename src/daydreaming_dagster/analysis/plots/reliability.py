"""Where the variance comes from, what other panels would achieve, and which judges agree."""

from __future__ import annotations

import altair as alt
import polars as pl

from daydreaming_dagster.analysis.plots.drawing import (
    DASHES,
    INK,
    MID,
    PALE,
    ROW_HEIGHT,
    WIDTH,
    Chart,
    data,
    draw_nothing,
    finish,
    stack_panels,
    two_digits,
)
from daydreaming_dagster.analysis.variance_components import WANTED_PHI
from daydreaming_dagster.utils.wording import show_count

_SHARES, _PANELS, _JUDGES = "Sources of variance", "Reliability of other panels", "Agreement of the judges"


def plot_variance_shares(components: pl.DataFrame) -> Chart:
    """A bar per source of variance, as a share of the variance of one rating, with its interval.

    Args:
        components: a frame of `VARIANCE_COMPONENTS_SCHEMA`.
    """
    if components["share"].is_null().all():
        return draw_nothing(_SHARES, "no source can be told from another" if components.height else "no ratings")
    rows = components.with_columns(
        facts=pl.when(pl.col("share").is_null())
        .then(pl.lit("not estimable"))
        .otherwise(pl.format("{} %", (pl.col("share") * 100).round(0).cast(pl.Int64, strict=False))),
        panel=pl.format(
            "{}: {} ratings, {} essays of {} combinations, {}",
            "construct",
            "n",
            "n_essays",
            "n_clusters",
            pl.when(pl.col("n_judges") == 1).then(pl.lit("1 judge")).otherwise(pl.format("{} judges", "n_judges")),
        ),
    ).select("panel", "component", "share", "share_low", "share_high", "facts")
    order = rows["component"].unique(maintain_order=True).to_list()
    base = alt.Chart().encode(y=alt.Y("component:N", title=None, sort=order))
    title = "Share of the variance of one rating"
    x = alt.X("share:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    bar = base.mark_bar(color=PALE, stroke=INK, strokeWidth=0.6).encode(x=x)
    span = base.mark_rule(color=INK, size=2).encode(x=alt.X("share_low:Q", title=title), x2="share_high:Q")
    facts = base.mark_text(align="left", dx=10, color=INK, fontSize=10).encode(x=alt.value(WIDTH), text="facts:N")
    layers = alt.layer(bar, span, facts, data=data(rows)).properties(width=WIDTH, height=alt.Step(ROW_HEIGHT))
    return finish(
        stack_panels(layers, "panel"),
        _SHARES,
        "Lines: 95 % intervals. “essay” is what is to be measured, all else is the measuring.",
    )


def plot_d_study(d_study: pl.DataFrame) -> Chart:
    """Phi against the number of judges, a line per number of replicates, at the current number of templates.

    Args:
        d_study: a frame of `D_STUDY_SCHEMA`.
    """
    measure = "phi" if d_study["phi"].is_not_null().any() else "e_rho2"
    rows = _panels_to_draw(d_study, measure)
    if rows.height == 0:
        return draw_nothing(_PANELS, _first_note(d_study))
    title = "Phi" if measure == "phi" else "E rho² (differences only)"
    base = alt.Chart()
    x = alt.X("n_judges:Q", title="Judges", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domain=[0, 1]))
    band = base.mark_area(color=PALE, opacity=0.5).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q")
    dashes = alt.StrokeDash("replicates:N", title="Replicates", scale=alt.Scale(range=list(DASHES)))
    marks = alt.Shape("mark:N", title=None, scale=alt.Scale(domain=["cheapest", "now"], range=["diamond", "circle"]))
    layers = alt.layer(
        band.transform_filter("datum.replicates == '1'"),
        alt.Chart().mark_rule(color=MID, strokeDash=[3, 3]).encode(y=alt.datum(WANTED_PHI)),
        base.mark_line(color=INK, size=1.8).encode(x=x, y=y, strokeDash=dashes),
        base.transform_filter("datum.mark != null")
        .mark_point(filled=True, opacity=1, size=90, color=INK)
        .encode(x=x, y=y, shape=marks),
        data=data(rows),
    ).properties(width=WIDTH, height=240)
    return finish(
        stack_panels(layers, "panel"),
        _PANELS,
        [f"Dashed level: {WANTED_PHI}. Band: 95 % interval with one replicate.", *_cheapest(d_study)],
    )


def _panels_to_draw(d_study: pl.DataFrame, measure: str) -> pl.DataFrame:
    """Panels with as many templates as there are now, or else with the most that were looked at."""
    current = d_study.filter("is_current").select("construct", pl.col("n_templates").alias("current"))
    templates = pl.coalesce("current", pl.col("n_templates").max().over("construct"))
    several = pl.format("{} rubrics", "n_templates")
    rubrics = pl.when(pl.col("n_templates") == 1).then(pl.lit("1 rubric")).otherwise(several)
    return (
        d_study.join(current, on="construct", how="left")
        .filter(pl.col("n_templates") == templates, pl.col(measure).is_not_null())
        .select(
            "n_judges",
            pl.col(measure).alias("value"),
            pl.col(f"{measure}_low").alias("low"),
            pl.col(f"{measure}_high").alias("high"),
            pl.col("n_replicates").cast(pl.String).alias("replicates"),
            pl.format("{}, with {}: {} ratings of {} combinations", "construct", rubrics, "n", "n_clusters").alias(
                "panel"
            ),
            pl.when("is_current").then(pl.lit("now")).when("is_cheapest").then(pl.lit("cheapest")).alias("mark"),
        )
    )


def _cheapest(d_study: pl.DataFrame) -> list[str]:
    """A sentence per construct: its cheapest panel, or why there is none."""
    lines = []
    for (construct,), rows in d_study.group_by("construct", maintain_order=True):
        found = rows.filter("is_cheapest").to_dicts()
        if found:
            row = found[0]
            cost = row["cost_usd_per_essay"]
            price = "cost unknown" if cost is None else f"{cost:.4f} USD an essay"
            panel = (
                f"{show_count(row['n_templates'], 'rubric')} × {show_count(row['n_judges'], 'judge')} × "
                f"{show_count(row['n_replicates'], 'replicate')}"
            )
            lines.append(f"Cheapest for Phi ≥ {WANTED_PHI} on {construct}: {panel}, {price}.")
        elif rows["phi"].is_not_null().any():
            lines.append(f"No panel looked at reaches Phi {WANTED_PHI} on {construct}.")
        else:
            lines.append(f"{construct}: {_first_note(rows)}.")
    return lines


def _first_note(frame: pl.DataFrame) -> str:
    notes = frame["note"].drop_nulls()
    # Of all templates only rubrics are meant here.
    return str(notes[0]).replace("template", "rubric") if notes.len() else "no ratings"


def plot_agreement(agreement: pl.DataFrame) -> Chart:
    """Weighted kappa of each two judges; on the diagonal each judge with its own replicates (alpha).

    Args:
        agreement: a frame of `AGREEMENT_SCHEMA`.
    """
    pairs = agreement.filter(pl.col("statistic") == "weighted_kappa")
    mirrored = pairs.rename({"judge_a": "judge_b", "judge_b": "judge_a"}).select(pairs.columns)
    own = agreement.filter(pl.col("statistic") == "intra_judge_alpha").with_columns(judge_b="judge_a")
    rows = pl.concat([pairs, mirrored, own.select(pairs.columns)]).filter(pl.col("estimate").is_not_null())
    if rows.height == 0:
        return draw_nothing(_JUDGES, "no two ratings of one essay, or all ratings are equal")
    rows = rows.with_columns(
        interval=pl.when(pl.col("low").is_null())
        .then(pl.lit("no interval"))
        .otherwise(pl.format("{} to {}", two_digits("low"), two_digits("high"))),
        n_text=pl.format("n = {}", "n"),
        number=two_digits("estimate"),
    ).select("construct", "judge_a", "judge_b", "estimate", "interval", "n_text", "number")
    judges = rows["judge_a"].n_unique()
    size = max(80, min(110, 620 // judges))
    base = alt.Chart().encode(
        x=alt.X("judge_a:N", title=None, axis=alt.Axis(labelAngle=-30)), y=alt.Y("judge_b:N", title=None)
    )
    greys = alt.Scale(domain=[0, 1], range=["#ffffff", "#8c8c8c"], clamp=True)
    tile = base.mark_rect(stroke="white").encode(color=alt.Color("estimate:Q", scale=greys, legend=None))
    texts = [
        base.mark_text(dy=-12, fontSize=13, fontWeight="bold", color=INK).encode(text="number:N"),
        base.mark_text(dy=4, fontSize=9, color=INK).encode(text="interval:N"),
        base.mark_text(dy=17, fontSize=9, color=INK).encode(text="n_text:N"),
    ]
    layers = alt.layer(tile, *texts, data=data(rows)).properties(width=alt.Step(size), height=alt.Step(54))
    return finish(
        stack_panels(layers, "construct"),
        _JUDGES,
        "Quadratically weighted kappa of two judges; diagonal: alpha of a judge's replicates. Below: 95 % interval, n.",
    )
