"""Every word of prompts, drafts, essays and evaluations."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daydreaming_dagster.domain.stages import Stage, find_stage_of
from daydreaming_dagster.explorer.essay_query import find_concepts, read_number
from daydreaming_dagster.explorer.pages.reading import find_text
from daydreaming_dagster.explorer.rendering import Pages
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.explorer.texts import make_visible
from daydreaming_dagster.store.search_documents import MOST_INDEXED_CHARACTERS
from daydreaming_dagster.store.search_index import build_match

_PAGE_SIZE = 20
_MOST_COUNTED = 1000
_MOST_RANKED = 20_000
_AROUND = 110
_LONGEST_QUERY = 300
_FIELDS = {"": "texts and prompts", "response": "texts only", "prompt": "prompts only"}


def show_search(pages: Pages, request: Request) -> Response:
    """What was found; a whole gen_id or cohort id leads straight to its page."""
    site, params = pages.site, request.query_params
    text = params.get("q", "")[:_LONGEST_QUERY].strip()
    if place := _find_place(site, text):
        return RedirectResponse(place, status_code=303)
    stage = params.get("stage", "")
    stage = stage if stage in set(Stage) else ""
    field = params.get("in", "")
    field = field if field in _FIELDS else ""
    number = min(max(read_number(params, "page", 1), 1), _MOST_COUNTED // _PAGE_SIZE)
    match = build_match(text, field)
    hits, total, problem = _search(site, match, stage, number) if match else ([], 0, "")
    values = {
        "active": "search",
        "q": text,
        "stage": stage,
        "stages": [stage.value for stage in Stage],
        "field": field,
        "fields": _FIELDS,
        "hits": [_complete(site, hit, text, field) for hit in hits],
        "total": total,
        "is_more": total >= _MOST_COUNTED,
        "page": number,
        "last_page": min(-(-total // _PAGE_SIZE), _MOST_COUNTED // _PAGE_SIZE),
        "problem": problem,
        "has_words": match is not None,
    }
    return pages.page("search.html", values)


def _find_place(site: Site, text: str) -> str | None:
    if find_stage_of(text) and site.row("SELECT 1 FROM generation WHERE gen_id = ?", (text,)):
        return f"/generation/{text}"
    if site.row("SELECT 1 FROM cohort WHERE cohort_id = ?", (text,)):
        return f"/cohort/{text}"
    return None


def _search(site: Site, match: str, stage: str, page: int) -> tuple[list[dict[str, Any]], int, str]:
    """One page of hits, how many there are (counted up to a thousand), and what is wrong with the question."""
    among = "AND g.stage = :stage" if stage else ""
    values = {"match": match, "stage": stage, "most": _MOST_COUNTED, "limit": _PAGE_SIZE}
    values |= {"offset": (page - 1) * _PAGE_SIZE, "ranked": _MOST_RANKED}
    try:
        counted = site.keep(
            ("found", match, stage),
            lambda: [
                site.rows(
                    "SELECT count(*) FROM (SELECT 1 FROM text JOIN generation g ON g.docid = text.rowid "
                    f"WHERE text MATCH :match {among} LIMIT :most)",
                    values,
                )[0][0],
                site.rows("SELECT count(*) FROM (SELECT 1 FROM text WHERE text MATCH :match LIMIT :ranked)", values)[0][
                    0
                ],
            ],
        )
        # To weigh every hit of a word that stands everywhere takes seconds and says little: newest first, then.
        order = "ORDER BY text.rank" if counted[1] < _MOST_RANKED else "ORDER BY text.rowid DESC"
        rows = site.rows(
            f"SELECT g.* FROM text JOIN generation g ON g.docid = text.rowid WHERE text MATCH :match {among} "
            f"{order} LIMIT :limit OFFSET :offset",
            values,
        )
    except sqlite3.OperationalError as error:
        return [], 0, f"The search does not understand that ({error})."
    return [dict(row) for row in rows], counted[0], ""


def _complete(site: Site, hit: dict[str, Any], query: str, field: str) -> dict[str, Any]:
    """The hit with a passage around the words, and where it stands."""
    stage = Stage(hit["stage"])
    words = re.findall(r"\w+\*?", query)
    places = {"response": ("raw",), "prompt": ("prompt",)}.get(field, ("raw", "parsed", "prompt"))
    for part in places:
        text, _ = find_text(site, stage, hit["gen_id"], part)
        passage = find_passage(site.redact(text[:MOST_INDEXED_CHARACTERS]), words) if text else None
        if passage is not None:
            break
    else:
        part, passage = places[0], Markup("")
    concepts = find_concepts(site, [hit["combo_id"] or ""]).get(hit["combo_id"] or "", [])
    shown = "" if stage is Stage.ESSAY and part != "prompt" else f"/{part}"
    return {
        **hit,
        "passage": passage,
        "part": part,
        "href": f"/generation/{hit['gen_id']}{shown}",
        "concepts": concepts,
    }


def find_passage(text: str, words: list[str]) -> Markup | None:
    """A passage around the first of the words, with all of them marked; None when none stands in the text.

    A word with a star at its end stands for all words that begin so.
    """
    if not words:
        return None
    ends = (re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in words)
    pattern = re.compile(rf"\b({'|'.join(ends)})\b", re.IGNORECASE)
    first = pattern.search(text)
    if first is None:
        return None
    start, end = max(0, first.start() - _AROUND), min(len(text), first.end() + 2 * _AROUND)
    before, after = text[start : first.start()], text[first.end() : end]
    # Half a word at either end says nothing, and the marks of Markdown are no words.
    before = re.sub(r"\A\S+\s", "", before) if start else before
    after = re.sub(r"\s\S+\Z", "", after) if end < len(text) else after
    around = make_visible(before + first.group() + after)
    passage = " ".join(re.sub(r"[*`]+|(?<!\S)#{1,6}(?=\s)", "", around).split())
    marked = Markup("").join(
        Markup("<mark>{}</mark>").format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pattern.split(passage))
    )
    return Markup("{}{}{}").format("… " if start else "", marked, " …" if end < len(text) else "")
