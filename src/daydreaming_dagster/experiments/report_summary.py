"""What was found of a construct, in a few sentences: its level, its best essay, what its order means, what differs."""

from __future__ import annotations

from typing import Any

import polars as pl

from daydreaming_dagster.experiments.report_findings import (
    FOUND,
    are_equal,
    describe_level,
    find_entries,
    find_uncompared,
    find_without_own_family,
    name_top,
    show_chance,
    show_contrast,
    show_estimate,
    sign_of,
)
from daydreaming_dagster.experiments.report_material import Material
from daydreaming_dagster.experiments.report_wording import join_words, show_interval, show_p
from daydreaming_dagster.utils.wording import show_count

_SUMMED_UP = 3
_HARDLY_ANY = 0.05
"""Reliability of the means of essays; with less a ranking shows next to nothing."""


def summarise_construct(material: Material, construct: str) -> str:
    """The construct in short: its level, its best entry, whether the order means anything, and what stands out."""
    summaries = (describe_level, _summarise_order, _summarise_contrasts, _summarise_concepts)
    return f"{construct}: {' '.join(filter(None, (summarise(material, construct) for summarise in summaries)))}"


def _summarise_order(material: Material, construct: str) -> str:
    entries = find_entries(material, construct, "essay")
    if entries.is_empty():
        return ""
    row = entries.row(0, named=True)
    if entries.height > 1 and are_equal(entries):
        return "All essays have the same mean: none was found better than another."
    if row["shrunken"] is None:
        return "How far the order of the essays is more than chance cannot be estimated."
    current = material.table("d_study", construct).filter(pl.col("is_current"))
    # Of all reliabilities the one that asks what this panel, whoever sits on it, makes of differences between essays.
    reliability, lowest = current.select("e_rho2", "e_rho2_low").row(0) if current.height else (None, None)
    if reliability is not None and reliability < _HARDLY_ANY:
        return "The order of the essays is not distinguishable from chance."
    about = f"{material.name_concepts(row['combo_id'])}, by {row['generator_model'] or 'an unknown writer'}"
    estimate = show_interval(row["shrunken"], row["low"], row["high"])
    tied = entries.filter(pl.col("rank") == 1).height
    which = "The best essay" if tied == 1 else f"One of {tied} essays with the best estimate"
    text = f"{which}, {row['id']} ({about}), is estimated at {estimate}{_rate_by_others(row)}"
    if row["p_top_k"] is not None:
        text += f" and is {name_top(row['k'])} with a probability of {show_chance(row['p_top_k'])}"
    if lowest is not None and lowest < _HARDLY_ANY:
        text += "; but that the whole order is chance cannot be ruled out"
    return f"{text}."


def _rate_by_others(row: dict[str, Any]) -> str:
    """An entry's estimate without judges of its writer's own family; nothing where all are of others or too few are."""
    if not row["n_other_family"]:
        return " by judges of its writer's own family"
    if row["n_other_family"] == row["n"] or row["other_family_shrunken"] is None:
        return ""
    figures = (row["other_family_shrunken"], row["other_family_low"], row["other_family_high"])
    return f" (without judges of its writer's own family {show_interval(*figures)})"


def _summarise_contrasts(material: Material, construct: str) -> str:
    rows = material.contrasts.filter(pl.col("construct") == construct, pl.col("is_comparable"))
    if rows.is_empty():
        return ""
    found = rows.filter(pl.col("p_holm") < FOUND)
    if found.is_empty():
        return _describe_nearest(material, rows)
    words = [_summarise_contrast(material, row) for row in found.head(_SUMMED_UP).iter_rows(named=True)]
    more = f", and {found.height - _SUMMED_UP} more differences" if found.height > _SUMMED_UP else ""
    return f"{join_words(words)}{more}."


def _describe_nearest(material: Material, rows: pl.DataFrame) -> str:
    """That nothing was found, and how near the nearest came; nothing can be found where there is no interval."""
    nothing = "No template or model can be told to be better than another"
    if too_many := find_uncompared(material):
        nothing += f" (of {join_words(too_many)} there are too many to compare each with each)"
    known = rows.filter(pl.col("low").is_not_null())
    if known.is_empty():
        return f"{nothing}: there are too few combinations for that."
    row = known.sort("p_holm", "p", nulls_last=True, maintain_order=True).row(0, named=True)
    sign = sign_of(row)
    better, worse = (row["a"], row["b"])[::sign]
    return (
        f"{nothing}; nearest to it comes {_name_kind(row)} {better} over {worse} with {show_contrast(row, sign)} "
        f"points (p {show_p(row['p'])}, adjusted for all comparisons {show_p(row['p_holm'])})."
    )


def _summarise_contrast(material: Material, row: dict[str, Any]) -> str:
    sign = sign_of(row)
    better, worse = (row["a"], row["b"])[::sign]
    units = show_count(row["n_clusters"], "combination")
    text = f"{_name_kind(row)} {better} is better than {worse} by {show_contrast(row, sign)} points over {units}"
    if (others := find_without_own_family(material, row)) is None:
        return text
    return f"{text} (without judges of the writer's own family {show_contrast(others, sign)})"


def _name_kind(row: dict[str, Any]) -> str:
    return "writer" if row["by"] == "generator_model" else str(row["by"]).replace("_", " ")


def _summarise_concepts(material: Material, construct: str) -> str:
    found = material.table("concept_effects", construct).filter(pl.col("p_fdr") < FOUND)
    if found.is_empty():
        return ""
    best = found.sort(pl.col("estimate").abs(), descending=True).row(0, named=True)
    names = " with ".join(name for name in (best["concept_a"], best["concept_b"]) if name)
    others = "" if found.height == 1 else f", the largest of {found.height} effects of concepts that stand out"
    same = [pl.col(name).eq_missing(best[name]) for name in ("construct", "effect", "concept_a", "concept_b")]
    rows = material.other_family_effects.filter(*same).rows(named=True)
    known = rows and rows[0]["estimate"] is not None
    kin = f" (without judges of the writer's own family {show_estimate(rows[0])})" if known else ""
    return f"{names} makes {show_estimate(best)} points of difference{kin}{others}."
