"""The best essays of a report: where each came from, what it says, and what the judges said about it."""

from __future__ import annotations

import polars as pl

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.domain.thinking import strip_thinking
from daydreaming_dagster.experiments.report_document import Block, Facts, Grid, Paragraph, Quotation, Section
from daydreaming_dagster.experiments.report_material import Material
from daydreaming_dagster.experiments.report_wording import join_words, show_interval, show_number

_BEST_OF_EACH = 2
_ESSAY_CHARACTERS = 1500
_JUDGE_CHARACTERS = 600


def build_essay_section(material: Material) -> Section:
    """The best essays of each construct, each shown once."""
    best = _find_best(material)
    if not best:
        return Section("Best essays", [Paragraph("No essay was rated.")])
    members = {member.gen_id: member for member in material.scope.members}
    intro = Paragraph(
        "Read them with their judges' words before believing a ranking. What stands here was written by models; long "
        "texts are cut, and the whole lies where the last line of each says."
    )
    parts = [_build_essay(material, members, gen_id, standing) for gen_id, standing in best.items()]
    return Section("Best essays", [intro], parts)


def _find_best(material: Material) -> dict[str, dict[str, str]]:
    """Essays to show, each with the constructs it is among the best on, and how it stands there."""
    best: dict[str, dict[str, str]] = {}
    for construct in material.constructs:
        ranking = material.table("ranking", construct).filter(pl.col("level") == "essay")
        for row in ranking.head(_BEST_OF_EACH).iter_rows(named=True):
            estimate = "" if row["shrunken"] is None else show_interval(row["shrunken"], row["low"], row["high"])
            sharing = ranking.filter(pl.col("rank") == row["rank"]).height
            shared = f" (shared by {sharing})" if sharing > 1 else ""
            place = f"rank {row['rank']} of {ranking.height}{shared}"
            seen = show_number(row["raw_mean"])
            estimated = f", estimate {estimate}" if estimate else ", no estimate"
            best.setdefault(row["id"], {})[construct] = f"{place}, raw mean {seen}{estimated}"
    return best


def _build_essay(material: Material, members: dict[str, Member], gen_id: str, standing: dict[str, str]) -> Section:
    essay = members.get(gen_id)
    if essay is None:
        return Section(gen_id, [Paragraph("The essay is in no membership any more.")])
    blocks: list[Block] = [Facts([*_lineage(material, members, essay), *standing.items()])]
    text = _find_text(material, essay)
    if text is None:
        blocks.append(Paragraph("Its text is missing or cannot be read."))
    else:
        blocks.append(Quotation(f"The essay by {essay.llm_model_id}", excerpt(text, _ESSAY_CHARACTERS)))
    blocks += _judges_words(material, members, gen_id, set(standing))
    folder = material.workspace.store.folder(Stage.ESSAY, gen_id)
    blocks.append(Paragraph(f"Whole texts: daydreaming show {gen_id}, or {folder}"))
    return Section(f"Essay {gen_id}", blocks)


def _lineage(material: Material, members: dict[str, Member], essay: Member) -> list[tuple[str, str]]:
    concepts = material.workspace.catalogue.concepts
    combination = material.scope.combinations.get(essay.combo_id)
    names = (
        [concepts[name].name if name in concepts else name for name in combination.concept_ids] if combination else []
    )
    pairs = [("concepts", f"{join_words(names) or 'unknown'} ({essay.combo_id or 'no combination'})")]
    draft = members.get(essay.parent_gen_id)
    if draft is not None:
        pairs.append(("draft", f"{draft.gen_id}, template {draft.template_id}, by {draft.llm_model_id}"))
    else:
        pairs.append(("draft", essay.parent_gen_id or "unknown"))
    replicate = f", replicate {essay.replicate}" if essay.replicate > 1 else ""
    pairs.append(("essay", f"{essay.gen_id}, template {essay.template_id}, by {essay.llm_model_id}{replicate}"))
    return pairs


def _judges_words(material: Material, members: dict[str, Member], gen_id: str, constructs: set[str]) -> list[Block]:
    """All scores of an essay, and what was said by those who judged what it is shown for."""
    ratings = material.ratings.filter(pl.col("essay_gen_id") == gen_id).rows(named=True)
    if not ratings:
        return []
    blocks: list[Block] = [
        Grid(
            "All scores of this essay.",
            ("construct", "rubric", "judge", "replicate", "score"),
            [
                (
                    row["construct"] or "unknown",
                    row["evaluation_template"] or "unknown",
                    row["judge_model"] or "unknown",
                    str(row["replicate"]),
                    f"none: {row['parse_status']}" if row["score"] is None else f"{row['score']:g}",
                )
                for row in ratings
            ],
            n_text=3,
        )
    ]
    for row in ratings:
        words = _find_words(material, members.get(row["gen_id"])) if row["construct"] in constructs else ""
        if words:
            given = "no score" if row["score"] is None else f"{row['score']:g}"
            label = f"{row['judge_model']} gave {given} for {row['evaluation_template']}"
            blocks.append(Quotation(label, excerpt(words, _JUDGE_CHARACTERS)))
    return blocks


def _find_text(material: Material, member: Member) -> str | None:
    try:
        return material.workspace.store.find_parsed(member.stage, member.gen_id)
    except StoreError:
        return None


def _find_words(material: Material, member: Member | None) -> str:
    """What a judge said, without what it thought before."""
    if member is None:
        return ""
    try:
        raw = material.workspace.store.find_raw(member.stage, member.gen_id) or ""
    except StoreError:
        return ""
    return strip_thinking(raw).strip()


def excerpt(text: str, longest: int) -> str:
    """The beginning of a text, up to the last whole word that fits."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) <= longest:
        return text
    cut = text[:longest]
    space = max(cut.rfind(" "), cut.rfind("\n"))
    return (cut[:space] if space > longest // 2 else cut).rstrip() + " […]"
