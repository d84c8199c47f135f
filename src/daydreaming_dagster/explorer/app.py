"""The explorer as an ASGI application: which address shows which page."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.explorer.pages import cohorts, comparing, essays, heat_maps, judges, rating, reading, searching
from daydreaming_dagster.explorer.rendering import Pages, Static
from daydreaming_dagster.explorer.safety import Access, SafetyMiddleware
from daydreaming_dagster.explorer.site import Refresher, Site

Page = Callable[[Pages, Request], Response]
Form = Callable[[Pages, dict[str, str]], Response]

_PAGES: list[tuple[str, Page]] = [
    ("/", cohorts.show_overview),
    ("/cohort/{cohort_id}", cohorts.show_cohort),
    ("/failures", cohorts.show_failures),
    ("/essays", essays.show_essays),
    ("/essays/ranking.json", essays.show_ranking_plot),
    ("/generation/{gen_id}", reading.show_generation),
    ("/generation/{gen_id}/{part}", reading.show_part),
    ("/generation/{gen_id}/{part}/plain", reading.show_plain),
    ("/compare", comparing.show_comparison),
    ("/maps", heat_maps.show_maps),
    ("/judges", judges.show_judges),
    ("/judges/scores.json", judges.show_score_plot),
    ("/search", searching.show_search),
    ("/rate", rating.show_start),
    ("/rate/essay", rating.show_essay),
    ("/rate/ratings.csv", rating.export_ratings),
    ("/rate/pack.html", rating.export_pack),
]
_FORMS: list[tuple[str, Form]] = [
    ("/rate/essay", rating.take_rating),
    ("/rate/import", rating.import_ratings),
]


def create_app(site: Site, access: Access | None = None, *, refresh: bool = True) -> ASGIApp:
    """The application over one data root.

    Args:
        site: the data root.
        access: who may ask; None is this machine only.
        refresh: keep the index up to date in a thread, from start to end of the application.
    """
    static = Static()
    pages = Pages(site, static)
    app = Starlette(
        routes=[
            Route("/static/{name}", static.answer, methods=["GET"]),
            *(Route(path, _answer_form(pages, form), methods=["POST"]) for path, form in _FORMS),
            *(Route(path, partial(_answer, pages, page), methods=["GET"]) for path, page in _PAGES),
        ],
        lifespan=partial(_live, pages, refresh),
        exception_handlers={
            HTTPException: partial(_explain_http_error, pages),
            DayDreamingError: partial(_explain_error, pages),
            Exception: partial(_explain_crash, pages),
        },
    )
    return SafetyMiddleware(app, access or Access(), pages.refuse)


def _answer(pages: Pages, page: Page, request: Request) -> Response:
    return page(pages, request)


def _answer_form(pages: Pages, form: Form) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            values = rating.parse_form(body)
        except ValueError:
            return pages.refuse(400, "That is no form of these pages.", "Use the forms of the rating page.")
        if not pages.site.is_write_token(values.get("write_token", "")):
            what = "The form is from before the explorer was started."
            return pages.refuse(403, what, "Load the page with the form again, then send it once more.")
        return await anyio.to_thread.run_sync(form, pages, values)

    return answer


@asynccontextmanager
async def _live(pages: Pages, refresh: bool, _: Starlette) -> AsyncIterator[None]:
    refresher = Refresher(pages.site) if refresh else None
    if refresher is not None:
        pages.load_templates()
        refresher.start()
    try:
        yield
    finally:
        if refresher is not None:
            await anyio.to_thread.run_sync(refresher.stop)
        pages.site.close()


def _explain_http_error(pages: Pages, _: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = {404: "There is no such page.", 413: "That is more than this page takes at once."}
    what = known.get(status, "That cannot be done here.")
    return pages.refuse(status, what, "Choose one of the pages above.")


def _explain_error(pages: Pages, _: Request, error: Exception) -> Response:
    what, fix = (error.what, error.fix) if isinstance(error, DayDreamingError) else (str(error), "")
    return pages.refuse(500, what, fix)


def _explain_crash(pages: Pages, request: Request, error: Exception) -> Response:
    logging.getLogger(__name__).error("%s failed", request.url.path, exc_info=error)
    what = f"This page failed: {type(error).__name__}."
    return pages.refuse(500, what, "The terminal of `daydreaming explore` says more.")
