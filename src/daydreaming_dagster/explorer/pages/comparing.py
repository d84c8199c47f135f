"""Two texts side by side: essays, prompts, or versions of one response, with what differs word by word."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from daydreaming_dagster.domain.stages import find_stage_of
from daydreaming_dagster.explorer.essay_query import read_number
from daydreaming_dagster.explorer.pages.reading import find_text
from daydreaming_dagster.explorer.rendering import Pages
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.explorer.texts import shorten
from daydreaming_dagster.explorer.word_diff import compare_texts

_PARTS = {"parsed": "parsed text", "raw": "raw response", "prompt": "prompt"}
_MOST_SCORES = 40


def show_comparison(pages: Pages, request: Request) -> Response:
    """The comparison of `a` and `b`, or of the first two `pick`s; without two, a form that asks for them."""
    site, params = pages.site, request.query_params
    picked = [*params.getlist("pick"), "", ""]
    part = params.get("part", "parsed")
    part = part if part in _PARTS else "parsed"
    # Of a prompt there are no versions: a new one makes another generation.
    versions = [0, 0] if part == "prompt" else [read_number(params, "av"), read_number(params, "bv")]
    sides = [
        _find_side(site, params.get(name, picked[place]).strip(), versions[place], part)
        for place, name in enumerate("ab")
    ]
    texts = [side["text"] for side in sides]
    comparison = None
    if texts[0] is not None and texts[1] is not None:
        first, second = (site.redact(shorten(text)[0]) for text in texts)
        key = ("compare", part, *((side["gen_id"], side["version"]) for side in sides))
        comparison = site.keep(key, lambda: compare_texts(first, second))
    view = "woven" if params.get("view") == "woven" else "columns"
    values = {
        "active": "compare",
        "sides": sides,
        "part": part,
        "parts": _PARTS,
        "view": view,
        "comparison": comparison,
        "scores": _join_scores(site, sides) if sides[0]["gen_id"] != sides[1]["gen_id"] else [],
        "picked_too_many": len(params.getlist("pick")) > 2,
    }
    return pages.page("compare.html", values)


def _find_side(site: Site, gen_id: str, version: int, part: str) -> dict[str, Any]:
    side: dict[str, Any] = {"gen_id": gen_id, "version": version, "text": None, "problem": "", "row": None}
    if not gen_id:
        return side
    stage = find_stage_of(gen_id)
    row = site.row("SELECT * FROM generation WHERE gen_id = ?", (gen_id,))
    if stage is None or row is None:
        return {**side, "problem": f"There is no generation '{gen_id[:80]}' here. Search for its words above."}
    text, problem = find_text(site, stage, gen_id, part, version)
    if text is None and part == "parsed" and not version:
        text, problem = find_text(site, stage, gen_id, "raw")
    versions = [found.number for found in site.store.versions(stage, gen_id)]
    return {
        **side,
        "text": text,
        "problem": problem or ("" if text is not None else "There is no such text yet."),
        "row": dict(row),
        "versions": versions,
    }


def _join_scores(site: Site, sides: list[dict[str, Any]]) -> list[tuple[str, list[float | None]]]:
    """Mean scores of both essays by rubric."""
    found: dict[str, list[float | None]] = {}
    for place, side in enumerate(sides):
        question = "SELECT template_id, mean FROM essay_score WHERE essay_gen_id = ? ORDER BY template_id LIMIT ?"
        for template_id, mean in site.rows(question, (side["gen_id"], _MOST_SCORES)):
            found.setdefault(template_id, [None, None])[place] = mean
    return sorted(found.items())
