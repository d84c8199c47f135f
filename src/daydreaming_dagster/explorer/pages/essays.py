"""Which essays are worth reading: the leaderboard with its filters."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from daydreaming_dagster.explorer.essay_query import (
    PAGE_SIZE,
    SORTS,
    EssayQuery,
    count_essays,
    find_choices,
    find_essays,
    find_rubric_ids,
    link_to,
)
from daydreaming_dagster.explorer.rendering import Pages

_SHOWN_RUBRICS = 6
_PLOTTED = 40


def show_essays(pages: Pages, request: Request) -> Response:
    """The leaderboard."""
    site = pages.site
    query = EssayQuery.of_params(site, request.query_params)
    total = count_essays(site, query)
    last = max(1, math.ceil(total / PAGE_SIZE))
    if query.page > last:
        return RedirectResponse(query.link(page=last), status_code=303)
    rubrics = find_rubric_ids(site)
    others = [rubric for rubric in rubrics if rubric != query.rubric]
    essays = find_essays(site, query)
    values = {
        "active": "essays",
        "query": query,
        "essays": essays,
        "total": total,
        "last_page": last,
        "first_place": (query.page - 1) * PAGE_SIZE,
        "rubrics": rubrics,
        "columns": [query.rubric, *others][:_SHOWN_RUBRICS] if rubrics else [],
        "rubric": site.find_rubric(query.rubric),
        "choices": find_choices(site),
        "sorts": SORTS,
        "has_ranking": any(essay["shrunken"] is not None for essay in essays),
    }
    return pages.page("essays.html", values)


def show_ranking_plot(pages: Pages, request: Request) -> Response:
    """The first essays of the list as a Vega-Lite drawing: raw means, shrunken estimates and intervals."""
    site = pages.site
    query = EssayQuery.of_params(site, request.query_params)
    essays = find_essays(site, query, limit=_PLOTTED)
    rubric = site.find_rubric(query.rubric)
    scale = [rubric.scale_min, rubric.scale_max] if rubric else [0, 9]
    rows: list[dict[str, Any]] = [
        {
            "place": place,
            "essay": essay["gen_id"],
            "raw": essay["mean"],
            "shrunken": essay["shrunken"],
            "low": essay["interval_low"] if essay["interval_low"] is not None else essay["low"],
            "high": essay["interval_high"] if essay["interval_high"] is not None else essay["high"],
            "href": link_to(f"/generation/{essay['gen_id']}", query.values()),
        }
        for place, essay in enumerate(essays, (query.page - 1) * PAGE_SIZE + 1)
        if essay["mean"] is not None
    ]
    return JSONResponse({"scale": scale, "rows": rows, "rubric": rubric.template_name if rubric else query.rubric})
