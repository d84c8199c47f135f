"""The part of a report that says how different the essays are from each other."""

from __future__ import annotations

from typing import Any

import polars as pl

from daydreaming_dagster.analysis.diversity import MIN_TEXTS, UNIQUE_BELOW
from daydreaming_dagster.analysis.embedding import HashingEmbedder
from daydreaming_dagster.analysis.statistics.bootstrap import MIN_CLUSTERS
from daydreaming_dagster.experiments.report_document import Block, Bullets, Grid, Paragraph, Section
from daydreaming_dagster.experiments.report_material import Material
from daydreaming_dagster.experiments.report_wording import NOT_ESTIMABLE, join_words, show_interval, show_number
from daydreaming_dagster.utils.wording import show_count

_TITLE = "Diversity"
_NO_REPETITION = 1e-9
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
    # A group of all essays is the same whatever it is called; one such row is enough.
    is_all = pl.col("n_available") == material.data.texts.drop_nulls("text")["essay_gen_id"].n_unique()
    several, whole = measured.filter(~is_all), measured.filter(is_all)
    same = whole.unique("metric", keep="first", maintain_order=True)
    rows = [_cells("all", "all essays", same.to_dicts(), names)] if whole.height else []
    for (group_by, group), part in several.group_by("group_by", "group", maintain_order=True):
        rows.append(_cells(str(group_by).replace("_", " "), str(group), part.to_dicts(), names))
    headers = ("grouping", "group", "essays", *(_MEASURES[name][0] for name in names))
    blocks: list[Block] = [
        Paragraph(_describe_repeats(material.table("rarefaction"), measured), is_lead=True),
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
    few = table.join(measured, on=["group_by", "group"], how="anti").select("group_by", "group").unique().sort(pl.all())
    if measured["low"].is_null().any():
        blocks.append(Paragraph(f"Figures without an interval rest on fewer than {MIN_CLUSTERS} combinations."))
    if few.height:
        names_of_few = [f"{group} ({group_by.replace('_', ' ')})" for group_by, group in few.rows()]
        blocks.append(Paragraph(f"Not measured: {join_words(names_of_few)}, with fewer than {MIN_TEXTS} essays each."))
    return Section(_TITLE, [*blocks, *_describe_embedders(measured)])


def _describe_repeats(rarefaction: pl.DataFrame, measured: pl.DataFrame) -> str:
    """Whether essays repeat each other, and the group where most do: by all essays of a group, not by equal numbers."""
    sizes = measured.select("group_by", "group", "n_available").unique()
    whole = (
        rarefaction.filter(pl.col("n_sampled") == pl.col("n"))
        .join(sizes, on=["group_by", "group"])
        .with_columns(repeated=1 - pl.col("estimate") / pl.col("n"))
        .sort("repeated", "group_by", "group", descending=[True, False, False])
    )
    worst = whole.row(0, named=True)
    if worst["repeated"] < _NO_REPETITION:
        cut = whole.filter(pl.col("n") < pl.col("n_available"))
        among = f" among the {max(cut['n'])} compared" if cut.height else ""
        return f"No essay repeats another of its group{among} (cosine of {UNIQUE_BELOW:.1f} or more)."
    drawn = "" if worst["n"] == worst["n_available"] else " drawn for this"
    return (
        f"Essays repeat each other most in {worst['group']} ({worst['group_by'].replace('_', ' ')}): of "
        f"{show_count(worst['n'], 'essay')}{drawn} {worst['estimate']:.0f} are different."
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
        row, digits = found.get(name), _MEASURES[name][1]
        if row is None:
            cells.append(NOT_ESTIMABLE)
            continue
        # Where combinations are few no figure has an interval; said in every cell, the last ones would leave the page.
        cells.append(
            show_number(row["estimate"], digits)
            if row["low"] is None
            else show_interval(row["estimate"], row["low"], row["high"], digits)
        )
    return cells
