"""The parts of a report that say what was found: per construct, with interval and number, never across constructs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from daydreaming_dagster.analysis.comparison import ARM
from daydreaming_dagster.experiments.report_document import Block, Bullets, Grid, Paragraph, Section
from daydreaming_dagster.experiments.report_material import MOST_LEVELS, Material
from daydreaming_dagster.experiments.report_wording import (
    NOT_ESTIMABLE,
    join_words,
    show_effect,
    show_interval,
    show_number,
    show_p,
    show_share,
    show_usd,
)
from daydreaming_dagster.utils.wording import show_count

_SHOWN_ENTRIES = 10
_SHOWN_CONTRASTS = 15
_SHOWN_EFFECTS = 12
FOUND = 0.05
"""Adjusted p below which a difference counts as found."""
_ROUGH = 0.5
"""Lower end of a predicted reliability below which the prediction is a guess."""
_WITHOUT_OWN_FAMILY = " Without own family: the estimate without judges of the writer's own family."
_ONLY_LEFT_OUT = re.compile(r"^([\d,]+) ratings? without a counterpart left out$")
_OF_REPLICATES = "intra_judge_alpha"
_STATISTICS = {
    "krippendorff_alpha_ordinal": "Krippendorff's alpha, ordinal",
    "krippendorff_alpha_interval": "Krippendorff's alpha, interval",
    "icc_a1": "ICC(A,1): one rating, values matter",
    "icc_ak": "ICC(A,k): mean of all judges, values matter",
    "icc_ck": "ICC(C,k): mean of all judges, only order matters",
    "kendall_w": "Kendall's W: agreement of rankings",
    "weighted_kappa": "weighted kappa",
    _OF_REPLICATES: "a judge with itself (alpha of replicates)",
}


def build_findings_sections(material: Material) -> list[Section]:
    """A section per construct."""
    return [_build_construct(material, construct) for construct in material.constructs]


def describe_level(material: Material, construct: str) -> str:
    """How many ratings a construct has, and their mean on its scale."""
    rated = material.rated.filter(pl.col("construct") == construct)
    if rated.is_empty():
        return "no rating at all."
    scale = material.scale_of(construct)
    on = f" on a scale of {scale[0]:g} to {scale[1]:g}" if scale else ""
    essays = show_count(rated["essay_gen_id"].n_unique(), "essay")
    mean = float(rated["value"].to_numpy().mean())
    return f"{show_count(rated.height, 'rating')} of {essays}, mean {show_number(mean)}{on}."


def show_contrast(row: dict[str, Any], sign: int = 1) -> str:
    """The difference of a comparison with its interval, or that there is none."""
    return show_effect(row, sign) if row["is_comparable"] else "not comparable"


def find_uncompared(material: Material) -> list[str]:
    """Kinds of templates and models of which there are too many to compare each with each."""
    return [name.replace("_", " ") for name in ARM if material.rated[name].n_unique() > MOST_LEVELS]


def find_without_own_family(material: Material, row: dict[str, Any]) -> dict[str, Any] | None:
    """The same comparison without judges of the writer's own family; None where no judge is of one."""
    same = [pl.col(name) == row[name] for name in ("by", "construct", "a", "b")]
    found = material.other_family_contrasts.filter(*same)
    return found.row(0, named=True) if found.height else None


def _build_construct(material: Material, construct: str) -> Section:
    rubrics = material.rubrics_of(construct)
    title = f"{construct} (LLM-judged)"
    blocks: list[Block] = [Paragraph(_describe_rubric(material, construct))] if rubrics else []
    level = describe_level(material, construct)
    blocks.append(Paragraph(f"{level[0].upper()}{level[1:]}", is_lead=True))
    if material.rated.filter(pl.col("construct") == construct).is_empty():
        return Section(title, blocks)
    parts = [
        Section(f"{construct}: best combinations", list(_ranking_blocks(material, construct, "combination"))),
        Section(f"{construct}: best essays", list(_ranking_blocks(material, construct, "essay"))),
        Section(f"{construct}: templates and models", list(_contrast_blocks(material, construct))),
        Section(f"{construct}: concepts", list(_concept_blocks(material, construct))),
        Section(f"{construct}: agreement of the judges", list(_agreement_blocks(material, construct))),
        Section(f"{construct}: where the variance comes from", list(_variance_blocks(material, construct))),
    ]
    return Section(title, blocks, parts)


def _describe_rubric(material: Material, construct: str) -> str:
    words = []
    for rubric in material.rubrics_of(construct):
        text = f"{rubric.template_name}: {rubric.description or 'no description'}"
        lower = " (lower is better; values are turned round here)" if rubric.direction == "lower_is_better" else ""
        words.append(f"{text}, {rubric.scale_min:g} to {rubric.scale_max:g}{lower}")
    return ". ".join(words) + "."


def are_equal(entries: pl.DataFrame) -> bool:
    """Whether all entries of a ranking have the same mean, both as seen and as ranked."""
    return all(entries[name].round(9).n_unique() == 1 for name in ("raw_mean", "adjusted_mean"))


def find_entries(material: Material, construct: str, level: str) -> pl.DataFrame:
    """The ranking of essays, or of combinations, on a construct."""
    return material.table("ranking", construct).filter(pl.col("level") == level)


def _ranking_blocks(material: Material, construct: str, level: str) -> Iterator[Block]:
    entries = find_entries(material, construct, level)
    if entries.is_empty():
        yield Paragraph(f"No {level} was rated.")
        return
    others = 0 < entries["n_other_family"].fill_null(0).sum() < entries["n"].sum()
    estimable = entries["shrunken"].is_not_null().any()
    shown = entries.head(_SHOWN_ENTRIES)
    k = shown["k"][0]
    chance = "P(best)" if k == 1 else f"P(top {k})"
    about = "concepts" if level == "combination" else "concepts and writer"
    estimated = ["estimate [95\u00a0%]", chance] * estimable
    headers = [level, about, "raw mean", *estimated, "ratings", *(["without own family"] * others)]
    rows = [_ranking_cells(material, row, headers) for row in shown.iter_rows(named=True)]
    tied = entries.tail(-len(rows)).filter(pl.col("rank") == shown["rank"][-1]).height
    also = f" ({tied} more share the rank of the last one)" if tied else ""
    meaning = (
        "Estimate: drawn towards the mean by the share of the spread that is noise, because the first of many is "
        f"partly lucky. {chance}: probability of being {name_top(k)}.{_WITHOUT_OWN_FAMILY if others else ''}"
        if estimable
        else "All have the same mean."
        if entries.height > 1 and are_equal(entries)
        else "How much of their order is chance cannot be estimated."
    )
    yield Grid(f"The {len(rows)} best of {entries.height}{also}. {meaning}", headers, rows, n_text=2)
    if note := _first(shown["note"]):
        yield Paragraph(f"Note: {note}.")


def name_top(k: int) -> str:
    """What an entry is a candidate for."""
    return "truly the best" if k == 1 else f"among the {k} truly best"


def show_chance(p: float | None) -> str:
    """A probability that was simulated, so that none at all only means very few."""
    return show_share(p if p is None else max(p, 0.001))


def _ranking_cells(material: Material, row: dict[str, Any], headers: Sequence[str]) -> list[str]:
    writer = "" if row["level"] == "combination" else f", by {row['generator_model'] or 'an unknown writer'}"
    without = (row["other_family_shrunken"], row["other_family_low"], row["other_family_high"])
    last = {
        "raw mean": show_number(row["raw_mean"]),
        "ratings": str(row["n"]),
        "without own family": show_interval(*without) if row["n_other_family"] else "no ratings",
    }
    first = [row["id"], f"{material.name_concepts(row['combo_id'])}{writer}", last["raw mean"]]
    estimate = [show_interval(row["shrunken"], row["low"], row["high"]), show_chance(row["p_top_k"])]
    with_estimate = headers[3] != "ratings"
    return [*first, *(estimate if with_estimate else []), *(last[name] for name in headers[3 + 2 * with_estimate :])]


def _contrast_blocks(material: Material, construct: str) -> Iterator[Block]:
    rows = material.contrasts.filter(pl.col("construct") == construct)
    if too_many := find_uncompared(material):
        yield Paragraph(
            f"There are more than {MOST_LEVELS} of {join_words(too_many)}: not every one is compared with every other. "
            "Two of them against each other: daydreaming compare A B."
        )
    elif rows.is_empty():
        yield Paragraph("There is nothing to compare: one draft template, one essay template and one writer.")
    if rows.is_empty():
        return
    shown = rows.sort("p_holm", "p", nulls_last=True, maintain_order=True).head(_SHOWN_CONTRASTS)
    extra = ("without own family",) if material.other_family_contrasts.height else ()
    yield Grid(
        f"Differences in points, averaged within combinations, the seemingly better one first{_of_all(shown, rows)}. "
        f"p: by permutation; Holm: adjusted for all {material.contrasts.height} comparisons of this report; below .05 "
        "the difference is hardly chance.",
        ("first less second", "difference [95\u00a0%]", *extra, "p", "Holm", "combinations"),
        [_contrast_cells(material, row) for row in shown.iter_rows(named=True)],
        n_text=1,
    )
    noted = shown.filter(pl.col("note").is_not_null())
    left_out = noted["note"].str.extract(_ONLY_LEFT_OUT.pattern).str.replace_all(",", "").cast(pl.Int64)
    if counts := sorted(set(left_out.drop_nulls().to_list())):
        number = f"{counts[0]:,} to {counts[-1]:,}" if len(counts) > 1 else f"{counts[0]:,}"
        yield Paragraph(f"Ratings without a counterpart on the other side are left out: {number} of a comparison.")
    if notes := [_note_contrast(row) for row in noted.filter(left_out.is_null()).iter_rows(named=True)]:
        yield Bullets(notes)


def _contrast_cells(material: Material, row: dict[str, Any]) -> tuple[str, ...]:
    others, sign = find_without_own_family(material, row), sign_of(row)
    without = "–" if others is None else show_contrast(others, sign)
    extra = () if material.other_family_contrasts.is_empty() else (without,)
    return (
        _name_contrast(row),
        show_contrast(row, sign),
        *extra,
        show_p(row["p"]),
        show_p(row["p_holm"]),
        "–" if row["n_clusters"] is None else str(row["n_clusters"]),
    )


def sign_of(row: dict[str, Any]) -> int:
    """-1 where the second one of a contrast is the better."""
    return -1 if row["effect"] is not None and row["effect"] < 0 else 1


def _name_contrast(row: dict[str, Any]) -> str:
    first, second = (row["a"], row["b"])[:: sign_of(row)]
    return f"{first} − {second} ({row['by'].replace('_', ' ')})"


def _note_contrast(row: dict[str, Any]) -> str:
    return f"{_name_contrast(row)}: {row['note']}."


def _concept_blocks(material: Material, construct: str) -> Iterator[Block]:
    effects = material.table("concept_effects", construct)
    known = effects.filter(pl.col("estimate").is_not_null())
    if known.is_empty():
        note = _first(effects["note"]) or f"{NOT_ESTIMABLE}: too few combinations"
        yield Paragraph(
            f"Effects of concepts are {note}." if note.startswith("not ") else f"Effects of concepts: {note}."
        )
        return
    found = known.filter(pl.col("p_fdr") < FOUND)
    tested = known["p_fdr"].count()
    yield Paragraph(
        f"{found.height} of {tested} effects of concepts and pairs stand out at a false-discovery rate of 5 %."
        if tested
        else "Whether any effect of a concept is more than chance cannot be told."
    )
    shown = effects.sort(
        pl.col("p_fdr"), pl.col("estimate").abs(), descending=[False, True], nulls_last=True, maintain_order=True
    ).head(_SHOWN_EFFECTS)
    yield Grid(
        f"Points better than with the average concept (main), or than both concepts alone add up to (pair)"
        f"{_of_all(shown, effects)}. FDR: adjusted for the number of effects looked at.",
        ("concepts", "effect", "points [95\u00a0%]", "FDR", "combinations"),
        [_effect_cells(row) for row in shown.iter_rows(named=True)],
        n_text=2,
    )


def _effect_cells(row: dict[str, Any]) -> tuple[str, ...]:
    names = row["concept_a"] if row["concept_b"] is None else f"{row['concept_a']} + {row['concept_b']}"
    return (
        names,
        row["effect"],
        show_estimate(row),
        show_p(row["p_fdr"]),
        f"{row['n_clusters']} of {row['n_clusters_total']}",
    )


def _agreement_blocks(material: Material, construct: str) -> Iterator[Block]:
    rows = material.table("agreement", construct)
    repeated = (pl.col("statistic") != _OF_REPLICATES) | (pl.col("n") > 0)
    shown = rows.filter(repeated)
    judges = material.rated.filter(pl.col("construct") == construct)["judge_model"].n_unique()
    if judges == 1 and shown.filter(pl.col("n") > 0, pl.col("statistic") == _OF_REPLICATES).is_empty():
        yield Paragraph("There was one judge, and no repeated rating: nobody to agree with, not even itself.")
        return
    if shown["estimate"].is_null().all():
        reasons = shown["note"].drop_nulls().unique(maintain_order=True).map_elements(_say_why, pl.String)
        yield Paragraph(f"How far the judges agree is {NOT_ESTIMABLE}: {'; '.join(reasons)}.")
        return
    by_chance = f", except for Kendall's W, which is about {show_number(1 / judges)} by chance" if judges > 1 else ""
    yield Grid(
        f"1 is full agreement, 0 what chance gives{by_chance}. Below .667 is low: do not rely on what was compared, be "
        "it single ratings or means of all judges; up to .8 is tentative; from there on reliable.",
        ("statistic", "judges", "verdict", "value [95\u00a0%]", "ratings", "combinations"),
        [_agreement_cells(row) for row in shown.iter_rows(named=True)],
        n_text=3,
    )
    if shown.height < rows.height:
        once = join_words(rows.filter(~repeated)["judge_a"].drop_nulls().to_list())
        yield Paragraph(f"Whether a judge agrees with itself is not known: no replicates of {once}.")


def _agreement_cells(row: dict[str, Any]) -> tuple[str, ...]:
    judges = [judge for judge in (row["judge_a"], row["judge_b"]) if judge]
    return (
        _STATISTICS.get(row["statistic"], row["statistic"]),
        " and ".join(judges) or "all",
        row["flag"] or _say_why(row["note"]),
        show_estimate(row),
        str(row["n"]),
        str(row["n_clusters"]),
    )


def _variance_blocks(material: Material, construct: str) -> Iterator[Block]:
    components = material.table("variance_components", construct)
    yield Grid(
        "What makes ratings differ: the essays (wanted), and everything else (noise). Shares are of the components "
        "that can be estimated.",
        ("source", "note", "share [95\u00a0%]", "variance, points²"),
        [_component_cells(row) for row in components.iter_rows(named=True)],
        n_text=2,
    )
    yield Paragraph(_describe_panel(material, construct))


def _component_cells(row: dict[str, Any]) -> tuple[str, ...]:
    share = (
        f"{show_share(row['share'])} [{show_share(row['share_low'])}, {show_share(row['share_high'])}]"
        if row["share"] is not None and row["share_low"] is not None
        else show_share(row["share"])
        if row["share"] is not None
        else NOT_ESTIMABLE
    )
    # Of all templates only rubrics are meant here.
    source, note = (text.replace("template", "rubric") for text in (row["component"], _say_why(row["note"])))
    return (source, note, share, show_number(row["estimate"]))


def _describe_panel(material: Material, construct: str) -> str:
    """What the D study says: how reliable the panel at hand is, and which would be reliable enough."""
    panels = material.table("d_study", construct)
    current = panels.filter(pl.col("is_current")).head(1)
    cheapest = panels.filter(pl.col("is_cheapest")).head(1)
    if current.is_empty():
        return "How reliable a mean of these judges is cannot be estimated."
    row = current.row(0, named=True)
    text = f"The panel at hand ({_name_panel(row)}): {_describe_reliability(row)}."
    if row["e_rho2"] is None:
        return text
    if cheapest.is_empty():
        return f"{text} No panel that was tried can be told to reach phi .8."
    best = cheapest.row(0, named=True)
    cost = "" if best["cost_usd_per_essay"] is None else f" at {show_usd(best['cost_usd_per_essay'])} an essay"
    rough = " The judges at hand are too few for more than a rough guide." if (best["phi_low"] or 0.0) < _ROUGH else ""
    reached = show_interval(best["phi"], best["phi_low"], best["phi_high"])
    return f"{text} The cheapest panel that reaches phi .8: {_name_panel(best)}{cost} (phi {reached}).{rough}"


def _describe_reliability(row: dict[str, Any]) -> str:
    for_order = f"E rho² {show_interval(row['e_rho2'], row['e_rho2_low'], row['e_rho2_high'])} for comparing essays"
    for_values = f"phi {show_interval(row['phi'], row['phi_low'], row['phi_high'])} for the values themselves"
    # Of all templates only rubrics are meant here.
    note = f". Note: {_say_why(row['note']).replace('template', 'rubric')}" if row["note"] else ""
    if row["phi"] is not None:
        return f"its mean has a reliability of {for_values}, {for_order}{note}"
    if row["e_rho2"] is not None:
        return f"its mean has a reliability of {for_order}; for the values themselves (phi) it is {NOT_ESTIMABLE}{note}"
    return f"how reliable its mean is cannot be estimated{note}"


def _name_panel(row: dict[str, Any]) -> str:
    return (
        f"{show_count(row['n_templates'], 'rubric')}, {show_count(row['n_judges'], 'judge')}, "
        f"{show_count(row['n_replicates'], 'replicate')}"
    )


def show_estimate(row: dict[str, Any]) -> str:
    """A figure of any table with its interval."""
    return show_interval(row["estimate"], row["low"], row["high"])


def _say_why(note: str | None) -> str:
    """A note beside figures that say themselves that they are not estimable; a dash when there is none."""
    return (note or "–").removeprefix(f"{NOT_ESTIMABLE}: ")


def _of_all(shown: pl.DataFrame, table: pl.DataFrame) -> str:
    return "" if shown.height == table.height else f"; {shown.height} of {table.height}"


def _first(notes: pl.Series) -> str:
    known = notes.drop_nulls()
    return str(known[0]) if known.len() else ""
