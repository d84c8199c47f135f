"""The part of a report that says how different the essays are from each other."""

from __future__ import annotations

from typing import Any

import polars as pl

from daydreaming_dagster.analysis.diversity import MIN_TEXTS, UNIQUE_BELOW
from daydreaming_dagster.analysis.embedding import HashingEmbedder
from daydreaming_dagster.analysis.statistics.bootstrap import MIN_CLUSTERS
from daydreaming_dagster.experiments.report_document import Block, Bullets, Grid, Paragraph, Section
from daydreaming_dagster.experiments.report_material import Material
from daydreaming_dagster.experiments.report_wording import join_words, show_interval, show_number
from daydreaming_dagster.utils.wording import show_count

_TITLE = "Diversity"
_MEASURES = {
    "mean_pairwise_cosine": ("cosine", 2, "mean over pairs, 0 unlike, 1 the same"),
    "unique_essays": (
        "unique",
        1,
        f"how many are left when those with a cosine of {UNIQUE_BELOW:.1f} or more to an earlier one count as repeats",
    ),
    "vendi_score": ("Vendi", 1, "effective number of different essays, as if each were wholly like or unlike another"),
    "distinct_2": ("distinct-2", 2, "share of the pairs of neighbouring words that are different"),
    "compression_ratio": ("compression", 1, "how many times shorter they get; the higher, the more they repeat"),
}
"""Measures of diversity: their headings, digits and meanings."""


def build_diversity_section(material: Material) -> Section:
    """How different the essays of a group are, what measured it, and of which groups there are too few."""
    table = material.table("diversity")
    measured = table.filter(pl.col("estimate").is_not_null())
    if measured.is_empty():
        return Section(_TITLE, [Paragraph(f"Not estimable: fewer than {MIN_TEXTS} essays with a text in every group.")])
    names = [name for name in _MEASURES if name in measured["metric"]]
    # A grouping of one group is all essays, whatever it is called; one such row is enough.
    alone = pl.col("group").n_unique().over("group_by") == 1
    several = measured.join(table.filter(~alone), on=["group_by", "group", "metric"], how="semi")
    whole = measured.join(table.filter(alone), on=["group_by", "group", "metric"], how="semi")
    rows = [_cells("all", "all essays", whole.unique("metric").to_dicts(), names)] if whole.height else []
    for (group_by, group), part in several.group_by("group_by", "group", maintain_order=True):
        rows.append(_cells(str(group_by).replace("_", " "), str(group), part.to_dicts(), names))
    headers = ("grouping", "group", "essays", *(_MEASURES[name][0] for name in names))
    blocks: list[Block] = [
        Paragraph(_describe_repeats(measured), is_lead=True),
        Grid(
            "How different the essays of a group are from each other; groups of one grouping are compared at equal "
            "numbers. The 95 % intervals are cautious: they come from resampling combinations, and a resample holds "
            "some essays twice.",
            headers,
            rows,
            n_text=2,
        ),
        Bullets([f"{title[0].upper()}{title[1:]}: {what}." for title, _, what in map(_MEASURES.__getitem__, names)]),
    ]
    few = [str(group) for group in table.filter(~pl.col("group").is_in(measured["group"].to_list()))["group"].unique()]
    if measured["low"].is_null().any():
        blocks.append(Paragraph(f"Figures without an interval rest on fewer than {MIN_CLUSTERS} combinations."))
    if few:
        blocks.append(Paragraph(f"Not measured: {join_words(sorted(few))}, with fewer than {MIN_TEXTS} essays each."))
    return Section(_TITLE, [*blocks, *_describe_embedders(measured)])


def _describe_repeats(measured: pl.DataFrame) -> str:
    """Whether essays repeat each other: the group with the most essays, and the one that repeats itself most."""
    unique = measured.filter(pl.col("metric") == "unique_essays").with_columns(
        repeated=1 - pl.col("estimate") / pl.col("n")
    )
    worst = unique.sort("repeated", descending=True, maintain_order=True).row(0, named=True)
    if worst["estimate"] > worst["n"] - 0.05:
        return f"No essay repeats another of its group (cosine of {UNIQUE_BELOW:.1f} or more)."
    return (
        f"Essays repeat each other most in {worst['group']} ({worst['group_by'].replace('_', ' ')}): of "
        f"{show_count(worst['n'], 'essay')} {worst['estimate']:.1f} are different."
    )


def _describe_embedders(measured: pl.DataFrame) -> list[Block]:
    names = measured["embedder"].drop_nulls().unique().sort().to_list()
    if not names:
        return []
    by_words = (
        ", which compares the words and pairs of words that two essays use: it sees wording, not meaning, so that two "
        "essays with the same idea in other words count as different"
        if names == [HashingEmbedder().name]
        else ""
    )
    return [
        Paragraph(
            f"Cosine, unique and Vendi rest on {join_words(names)}{by_words}. Do not compare them with figures that "
            "were made with something else."
        )
    ]


def _cells(group_by: str, group: str, rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    found = {row["metric"]: row for row in rows}
    first = rows[0]
    cells = [group_by, group, f"{first['n']} of {first['n_available']}"]
    for name in names:
        row, digits = found[name], _MEASURES[name][1]
        # Where combinations are few no figure has an interval; said in every cell, the last ones would leave the page.
        alone = row["estimate"] is not None and row["low"] is None
        cells.append(
            show_number(row["estimate"], digits)
            if alone
            else show_interval(row["estimate"], row["low"], row["high"], digits)
        )
    return cells
