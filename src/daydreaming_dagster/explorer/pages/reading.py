"""One generation: what was asked, what came back, what was made of it, and what it belongs to."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage, find_stage_of
from daydreaming_dagster.explorer.essay_query import (
    PAGE_SIZE,
    EssayQuery,
    complete_essays,
    find_concepts,
    find_neighbours,
    read_number,
)
from daydreaming_dagster.explorer.lineage import draw_lineage
from daydreaming_dagster.explorer.pages.cohorts import find_remedy
from daydreaming_dagster.explorer.rendering import Pages
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.explorer.texts import MOST_SHOWN_CHARACTERS, make_visible
from daydreaming_dagster.store.states import Status

TEXTS = ("parsed", "raw", "prompt")
PARTS = (*TEXTS, "metadata", "versions", "lineage")
_MOST_EVALUATIONS = 60
_MOST_KIN = 40


def show_generation(pages: Pages, request: Request) -> Response:
    """An essay in the reader, or another generation by itself."""
    gen_id = request.path_params["gen_id"]
    stage = _find_stored(pages.site, gen_id)
    if stage is None:
        return _refuse_unknown(pages, gen_id)
    if stage is Stage.ESSAY:
        return _show_essay(pages, request, gen_id)
    return _show_part(pages, request, stage, gen_id, "reader")


def show_part(pages: Pages, request: Request) -> Response:
    """One file of a generation, or its lineage."""
    gen_id, part = request.path_params["gen_id"], request.path_params["part"]
    stage = _find_stored(pages.site, gen_id)
    if stage is None:
        return _refuse_unknown(pages, gen_id)
    if part not in PARTS:
        return pages.refuse(404, "A generation has no such part.", f"These there are: {', '.join(PARTS)}.")
    return _show_part(pages, request, stage, gen_id, part)


def show_plain(pages: Pages, request: Request) -> Response:
    """A text of a generation as it stands, whole, for programs and for texts too long for a page."""
    gen_id, part = request.path_params["gen_id"], request.path_params["part"]
    stage = _find_stored(pages.site, gen_id)
    if stage is None:
        return _refuse_unknown(pages, gen_id)
    if part not in TEXTS:
        return pages.refuse(404, "A generation has no such text.", f"These there are: {', '.join(TEXTS)}.")
    text, problem = find_text(pages.site, stage, gen_id, part)
    if text is None:
        return PlainTextResponse(f"{problem or 'There is no such text.'}\n", 404)
    return PlainTextResponse(make_visible(pages.site.redact(text)).encode("utf-8", errors="replace"))


def find_text(site: Site, stage: Stage, gen_id: str, part: str, version: int = 0) -> tuple[str | None, str]:
    """A text of a generation, or None and why it cannot be read.

    Args:
        site: the data root.
        stage: of the generation.
        gen_id: the generation.
        part: `parsed`, `raw` or `prompt`.
        version: an earlier response by its number; 0 is the present one.
    """
    read = {"parsed": site.store.find_parsed, "raw": site.store.find_raw, "prompt": site.store.find_prompt}
    try:
        if version:
            paths = [found.text_path for found in site.store.versions(stage, gen_id) if found.number == version]
            return (paths[0].read_text(encoding="utf-8"), "") if paths else (None, "There is no such version.")
        return read[part](stage, gen_id), ""
    except StoreError as error:
        return None, str(error)
    except (OSError, UnicodeDecodeError) as error:
        return None, f"The file cannot be read ({error})."


def _show_essay(pages: Pages, request: Request, gen_id: str) -> Response:
    site = pages.site
    query = EssayQuery.of_params(site, request.query_params)
    place = read_number(request.query_params, "at", -1)
    at = place if place >= 0 else None
    before, after = find_neighbours(site, query, gen_id, at) if at is not None else (None, None)
    essay = _find_essay(site, gen_id)
    text, problem = find_text(site, Stage.ESSAY, gen_id, "parsed")
    if text is None:
        raw, _ = find_text(site, Stage.ESSAY, gen_id, "raw")
        text = raw
    draft_text, draft_problem = (
        find_text(site, Stage.DRAFT, essay["parent_gen_id"], "parsed") if essay["parent_gen_id"] else (None, "")
    )
    evaluations = _find_evaluations(site, gen_id, query.rubric)
    values = {
        "active": "essays",
        "gen_id": gen_id,
        "essay": essay,
        "text": text,
        "problem": problem,
        "is_long": text is not None and len(text) > MOST_SHOWN_CHARACTERS,
        "draft_text": draft_text,
        "draft_problem": draft_problem,
        "panels": _group_by_rubric(evaluations, essay["scores"]),
        "n_shown": len(evaluations),
        "n_evaluations": _count_children(site, gen_id),
        "query": query,
        "at": at,
        "before": None if before is None else (before, (at or 0) - 1),
        "after": None if after is None else (after, (at or 0) + 1),
        "page_of": (at // PAGE_SIZE + 1) if at is not None else 1,
        "kin": _find_kin(site, essay),
        "parts": PARTS,
        "part": "reader",
        "stage": Stage.ESSAY,
        "dagster_links": _find_dagster_links(site, Stage.ESSAY, gen_id),
    }
    return pages.page("essay.html", values)


def _show_part(pages: Pages, request: Request, stage: Stage, gen_id: str, part: str) -> Response:
    site = pages.site
    number = read_number(request.query_params, "version")
    values: dict[str, Any] = {
        "active": "essays",
        "gen_id": gen_id,
        "stage": stage,
        "part": part,
        "parts": PARTS,
        "row": _find_row(site, gen_id),
        "text": None,
        "problem": "",
        "is_long": False,
        "version": number,
        "versions": site.store.versions(stage, gen_id),
        "files": {},
        "graph": None,
        "dagster_links": _find_dagster_links(site, stage, gen_id),
    }
    if part in {"reader", *TEXTS}:
        # Of an evaluation the parsed text is a number: what one reads is the response.
        plain_part = part if part != "reader" else "raw" if stage is Stage.EVALUATION else "parsed"
        text, values["problem"] = find_text(site, stage, gen_id, plain_part)
        values |= {
            "text": text,
            "is_long": text is not None and len(text) > MOST_SHOWN_CHARACTERS,
            "plain_part": plain_part,
        }
    elif part == "versions" and number:
        values["text"], values["problem"] = find_text(site, stage, gen_id, "raw", number)
    elif part == "metadata":
        values["files"] = _read_metadata(site, stage, gen_id)
    elif part == "lineage":
        values["graph"] = draw_lineage(site, gen_id)
    return pages.page("generation.html", values)


def _find_stored(site: Site, gen_id: str) -> Stage | None:
    """The stage of a generation that the index knows; what it does not know is not looked for on disk."""
    stage = find_stage_of(gen_id)
    known = stage is not None and site.row("SELECT 1 FROM generation WHERE gen_id = ?", (gen_id,)) is not None
    return stage if known else None


def _refuse_unknown(pages: Pages, gen_id: str) -> Response:
    member = pages.site.row("SELECT cohort_id, stage FROM member WHERE gen_id = ? LIMIT 1", (gen_id,))
    if member is not None:
        what = f"The {member['stage']} '{gen_id}' was not made yet."
        fix = f"Make what is missing: {pages.site.command('run', cohort_id=member['cohort_id'])}"
        return pages.refuse(404, what, fix)
    what = f"There is no generation '{gen_id[:80]}' here."
    fix = f"Find it with the search above, or list the ids: {pages.site.command('status', '--ids')}"
    if pages.site.freshness.is_building:
        fix = "The store is still being read for the first time; try again in a moment."
    return pages.refuse(404, what, fix)


def _find_row(site: Site, gen_id: str) -> dict[str, Any]:
    """What the index has of a generation, its concepts and cohorts, and what would mend it if it failed."""
    row = site.row("SELECT * FROM generation WHERE gen_id = ?", (gen_id,))
    found = dict(row) if row is not None else {}
    found["concepts"] = find_concepts(site, [found.get("combo_id") or ""]).get(found.get("combo_id") or "", [])
    cohorts = site.rows(
        "SELECT c.cohort_id FROM cohort c JOIN member m USING (cohort_id) WHERE m.gen_id = ? ORDER BY c.stamp_ns DESC",
        (gen_id,),
    )
    found["cohorts"] = [row[0] for row in cohorts]
    if found.get("status") == Status.FAILED:
        newest = next(iter(found["cohorts"]), "")
        found["remedy"] = find_remedy(site, found["reason"], bool(found["lasting"]), newest)
    return found


def _find_essay(site: Site, gen_id: str) -> dict[str, Any]:
    essay = _find_row(site, gen_id)
    draft = site.row("SELECT template_id, title FROM generation WHERE gen_id = ?", (essay["parent_gen_id"],))
    essay["draft_template"] = draft["template_id"] if draft else ""
    return complete_essays(site, [essay])[0]


def _count_children(site: Site, gen_id: str) -> int:
    return int(site.rows("SELECT count(*) FROM generation WHERE parent_gen_id = ?", (gen_id,))[0][0])


def _find_evaluations(site: Site, gen_id: str, rubric: str) -> list[dict[str, Any]]:
    """Evaluations of an essay with their texts, those of the chosen rubric first."""
    order = [template.template_id for template in site.rubrics()]
    rows = site.rows(
        "SELECT gen_id, template_id, llm_model_id, replicate, score, status, reason, message, code, cost_usd "
        "FROM generation WHERE parent_gen_id = ? ORDER BY template_id, llm_model_id, replicate LIMIT 1000",
        (gen_id,),
    )

    def place(row: Any) -> tuple[bool, int]:
        name = row["template_id"]
        return name != rubric, order.index(name) if name in order else len(order)

    found = []
    for row in sorted(rows, key=place)[:_MOST_EVALUATIONS]:
        text, problem = find_text(site, Stage.EVALUATION, row["gen_id"], "raw")
        found.append({**dict(row), "text": text, "problem": problem})
    return found


def _group_by_rubric(evaluations: list[dict[str, Any]], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The evaluations of each rubric with its mean, in the order in which they come."""
    groups = groupby(evaluations, key=lambda evaluation: evaluation["template_id"])
    return [
        {"template_id": name, "score": scores.get(name), "evaluations": list(found), "is_first": place == 0}
        for place, (name, found) in enumerate(groups)
    ]


def _find_kin(site: Site, essay: dict[str, Any]) -> list[dict[str, Any]]:
    """Other essays of the same combination, those of the same draft first: what one compares with."""
    rows = site.rows(
        "SELECT e.gen_id, e.title, e.template_id, e.llm_model_id, e.parent_gen_id = :draft AS same_draft, e.replicate, "
        "d.template_id AS draft_template FROM generation e LEFT JOIN generation d ON d.gen_id = e.parent_gen_id "
        "WHERE e.combo_id = :combo AND e.stage = 'essay' AND e.gen_id <> :gen_id "
        "ORDER BY same_draft DESC, e.template_id, e.llm_model_id, e.replicate LIMIT :most",
        {
            "draft": essay["parent_gen_id"],
            "combo": essay["combo_id"],
            "gen_id": essay["gen_id"],
            "most": _MOST_KIN,
        },
    )
    return [dict(row) for row in rows]


def _read_metadata(site: Site, stage: Stage, gen_id: str) -> dict[str, str]:
    """The metadata files, as indented JSON, or what is wrong with them."""
    found: dict[str, str] = {}
    for name, read in (
        ("metadata.json", site.store.find_metadata),
        ("raw_metadata.json", site.store.find_raw_metadata),
        ("parsed_metadata.json", site.store.find_parsed_metadata),
    ):
        try:
            value = read(stage, gen_id)
        except StoreError as error:
            found[name] = str(error)
            continue
        if value is not None:
            found[name] = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    return found


def _find_dagster_links(site: Site, stage: Stage, gen_id: str) -> list[tuple[str, str]]:
    if not site.dagster_url:
        return []
    steps = ("prompt", "raw", "parsed")
    # Without the view, Dagster shows what was materialized last, whichever partition that is.
    shown = f"?view=partitions&partition={gen_id}"
    return [(f"{stage}_{step}", f"{site.dagster_url}/assets/{stage}_{step}{shown}") for step in steps]
