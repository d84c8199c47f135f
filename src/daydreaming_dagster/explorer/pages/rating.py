"""Rating blind: one essay and one rubric at a time, without scores, models or names of templates."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daydreaming_dagster.domain.catalogue import Template
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.essay_query import find_choices, link_to, read_number
from daydreaming_dagster.explorer.human_panel import find_essay_ids, find_progress
from daydreaming_dagster.explorer.offline_pack import build_pack
from daydreaming_dagster.explorer.pages.reading import find_text
from daydreaming_dagster.explorer.rendering import Pages
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.store.human_ratings import (
    Kind,
    Scales,
    append_ratings,
    build_rating,
    clean_rater,
    dump_csv,
    import_csv,
    read_ratings,
)

_MOST_STEPS = 21
_IN_PACK, _MOST_IN_PACK = 20, 200
_LONGEST_VISIT_S = 3600.0
_ESSAY_PLACE = re.compile(r"\{\{[^{}]*\bresponse\b[^{}]*\}\}")


def parse_form(body: bytes) -> dict[str, str]:
    """Fields of a form as browsers send it; of a field that comes twice, the last."""
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=50))


def show_start(pages: Pages, request: Request) -> Response:
    """Who rates, and by which rubric; what was rated so far; export, import and the offline pack."""
    site = pages.site
    known = read_ratings(site.paths)
    counts: dict[tuple[str, str], int] = {}
    for (rater, _, template), line in known.current().items():
        if line.kind is Kind.RATING:
            counts[rater, template] = counts.get((rater, template), 0) + 1
    values = {
        "active": "rate",
        "rubrics": [rubric for rubric in site.rubrics() if len(list_steps(rubric)) <= _MOST_STEPS],
        "rater": request.query_params.get("rater", ""),
        "rubric": request.query_params.get("rubric", ""),
        "cohort": request.query_params.get("cohort", ""),
        "cohorts": find_choices(site)["cohort"],
        "counts": sorted((rater, template, count) for (rater, template), count in counts.items()),
        "n_lines": len(known.lines),
        "damaged": known.damaged,
        "message": site.find_said(request.query_params.get("said", "")),
        "n_essays": len(find_essay_ids(site, "")),
    }
    return pages.page("rate_start.html", values)


def show_essay(pages: Pages, request: Request) -> Response:
    """The next essay of a rater; the rubric beside it."""
    site, params = pages.site, request.query_params
    rater, rubric_id, cohort = (params.get(name, "") for name in ("rater", "rubric", "cohort"))
    rubric = site.find_rubric(rubric_id)
    if rubric is None or not rater.strip() or not site.can_keep_ratings:
        return RedirectResponse(link_to("/rate", {"rater": rater, "rubric": rubric_id}), status_code=303)
    try:
        rater = clean_rater(rater)
    except ConfigurationError as error:
        said = site.say(error.what)
        return RedirectResponse(link_to("/rate", {"rubric": rubric_id, "cohort": cohort, "said": said}), 303)
    progress = find_progress(site, rater, rubric_id, cohort)
    text = None
    while progress.waiting and text is None:
        text, _ = find_text(site, Stage.ESSAY, progress.waiting[0], "parsed")
        if text is None:
            progress.waiting.pop(0)
    values = {
        "active": "rate",
        "rater": rater,
        "rubric": rubric,
        "question": describe_rubric(rubric),
        "steps": list_steps(rubric),
        "cohort": cohort,
        "progress": progress,
        "essay": progress.waiting[0] if progress.waiting else "",
        "text": text,
        "opened_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "total": progress.left + progress.rated + progress.skipped,
        "message": site.find_said(params.get("said", "")),
    }
    return pages.page("rate_essay.html", values)


def take_rating(pages: Pages, form: dict[str, str]) -> Response:
    """Stores what a rater said, then shows the next essay."""
    site = pages.site
    kept = {name: form.get(name, "") for name in ("rater", "rubric", "cohort")}
    action = form.get("action", "")
    kind = {"skip": Kind.SKIPPED, "undo": Kind.WITHDRAWN}.get(action, Kind.RATING)
    given = form.get("score", "")
    if kind is Kind.RATING and not given:
        said = site.say("Choose a score first.")
        return RedirectResponse(link_to("/rate/essay", {**kept, "said": said}), status_code=303)
    try:
        rating = build_rating(
            kept["rater"],
            form.get("essay", ""),
            kept["rubric"],
            float(given) if kind is Kind.RATING else None,
            kind=kind,
            seconds=_measure(form.get("opened_at", "")),
            comment=form.get("comment", "") if kind is Kind.RATING else "",
            scales=_find_scales(site),
        )
        if rating.essay_gen_id not in find_essay_ids(site, ""):
            raise ConfigurationError("There is no such essay.", fix="Go on with the next one.")
    except (ConfigurationError, ValueError) as error:
        what = error.what if isinstance(error, ConfigurationError) else "That is no number."
        return RedirectResponse(link_to("/rate/essay", {**kept, "said": site.say(what)}), status_code=303)
    append_ratings(site.paths, [rating])
    return RedirectResponse(link_to("/rate/essay", kept), status_code=303)


def export_ratings(pages: Pages, request: Request) -> Response:
    """All lines as CSV, those that count or (with `all=1`) every one."""
    known = read_ratings(pages.site.paths)
    lines = known.lines if request.query_params.get("all") == "1" else list(known.current().values())
    headers = {"Content-Disposition": 'attachment; filename="human_ratings.csv"'}
    return Response(dump_csv(lines), media_type="text/csv; charset=utf-8", headers=headers)


def import_ratings(pages: Pages, form: dict[str, str]) -> Response:
    """Takes in a CSV table, from here, an offline pack or anywhere else."""
    try:
        added, known = import_csv(pages.site.paths, form.get("table", ""), scales=_find_scales(pages.site))
    except ConfigurationError as error:
        return pages.refuse(400, error.what, error.fix)
    said = pages.site.say(f"{added} ratings added, {known} were there already.")
    return RedirectResponse(link_to("/rate", {"said": said}), status_code=303)


def export_pack(pages: Pages, request: Request) -> Response:
    """One HTML file with the essays that a rater is to rate, for people without this tool."""
    site, params = pages.site, request.query_params
    rubric_id = params.get("rubric", "")
    rubric = site.find_rubric(rubric_id)
    if rubric is None or not params.get("rater", "").strip():
        return pages.refuse(400, "A pack needs a rater and a rubric.", "Fill in both on the rating page.")
    try:
        rater = clean_rater(params["rater"])
    except ConfigurationError as error:
        return pages.refuse(400, error.what, "Give another name on the rating page: the table would not be taken in.")
    most = min(read_number(params, "n", _IN_PACK), _MOST_IN_PACK)
    waiting = find_progress(site, rater, rubric_id, params.get("cohort", ""), most).waiting
    texts = [(essay, find_text(site, Stage.ESSAY, essay, "parsed")[0]) for essay in waiting]
    essays = [(essay, site.redact(text)) for essay, text in texts if text is not None]
    html = build_pack(rater, rubric, describe_rubric(rubric), list_steps(rubric), essays)
    headers = {"Content-Disposition": 'attachment; filename="essays_to_rate.html"'}
    return Response(html.encode("utf-8", errors="replace"), media_type="text/html; charset=utf-8", headers=headers)


def list_steps(rubric: Template) -> list[float]:
    """The scores a person can give: whole points from one end of the scale to the other."""
    count = round(rubric.scale_max - rubric.scale_min)
    return [rubric.scale_min + step for step in range(count + 1)]


def describe_rubric(rubric: Template) -> str:
    """What the judges are asked, with a gap where the essay stands."""
    return _ESSAY_PLACE.sub("[the essay]", rubric.source)


def _find_scales(site: Site) -> Scales:
    return {rubric.template_id: (rubric.scale_min, rubric.scale_max) for rubric in site.rubrics()}


def _measure(opened_at: str) -> float | None:
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(opened_at)).total_seconds()
    except (ValueError, TypeError):
        return None
    return round(seconds, 1) if 0 <= seconds <= _LONGEST_VISIT_S else None
