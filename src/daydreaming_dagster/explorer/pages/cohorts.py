"""What ran and how it went: all cohorts, one cohort, and what failed in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.essay_query import EssayQuery, find_essays, find_rubric_ids
from daydreaming_dagster.explorer.rendering import Pages
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.store.states import Status

_BEST = 5
_SHOWN_MEMBERS = 200
_SHOWN_COHORTS = 4


def show_overview(pages: Pages, request: Request) -> Response:
    """All cohorts, newest first, and the best essays of the store."""
    site = pages.site
    moment = site.moment  # before anything is read: what changes meanwhile is new to the page
    if _is_seen(request, moment):
        return Response(status_code=204)
    rubrics = find_rubric_ids(site)
    query = EssayQuery(rubric=rubrics[0] if rubrics else "")
    values = {
        "active": "overview",
        "moment": moment,
        "cohorts": find_cohorts(site),
        "best": _find_best(site, query),
        "query": query,
        "rubrics": rubrics,
        "totals": _find_totals(site),
        "running": site.is_running,
    }
    name = "parts/overview.html" if "hx-request" in request.headers else "overview.html"
    return pages.page(name, values)


def show_cohort(pages: Pages, request: Request) -> Response:
    """One cohort: how far it is, what it was made from, what failed and how to mend that."""
    cohort_id = request.path_params["cohort_id"]
    site = pages.site
    moment = site.moment  # before anything is read: what changes meanwhile is new to the page
    if _is_seen(request, moment):
        return Response(status_code=204)
    cohort = next((cohort for cohort in find_cohorts(site) if cohort["cohort_id"] == cohort_id), None)
    if cohort is None:
        return pages.refuse(404, f"There is no cohort '{cohort_id}' here.", "Choose one on the first page.")
    rubrics = find_rubric_ids(site)
    query = EssayQuery(cohort=cohort_id, rubric=rubrics[0] if rubrics else "")
    values = {
        "active": "overview",
        "moment": moment,
        "cohort": cohort,
        "failures": find_failures(site, cohort_id),
        "axes": _find_axes(site, cohort_id),
        "best": _find_best(site, query),
        "query": query,
        "rubrics": rubrics,
        "running": site.is_running,
    }
    name = "parts/cohort.html" if "hx-request" in request.headers else "cohort.html"
    return pages.page(name, values)


def _is_seen(request: Request, moment: str) -> bool:
    """Whether a page asks if there is something new, and there is not: what is left alone keeps focus and selection."""
    return "hx-request" in request.headers and request.query_params.get("seen") == moment


def _find_best(site: Site, query: EssayQuery) -> list[dict[str, Any]]:
    essays = find_essays(site, query, limit=_BEST) if query.rubric else []
    return [essay for essay in essays if essay["mean"] is not None]


def show_failures(pages: Pages, request: Request) -> Response:
    """Failures of one cohort, or of all, by reason; with a reason, the generations themselves."""
    site = pages.site
    cohort_id = request.query_params.get("cohort", "")
    reason = request.query_params.get("reason", "")
    values = {
        "active": "failures",
        "cohort_id": cohort_id,
        "cohorts": [cohort["cohort_id"] for cohort in find_cohorts(site)],
        "failures": find_failures(site, cohort_id),
        "reason": reason,
        "failed": _find_failed(site, cohort_id, reason) if reason else [],
        "most": _SHOWN_MEMBERS,
    }
    return pages.page("failures.html", values)


def find_cohorts(site: Site) -> list[dict[str, Any]]:
    """Each cohort with the progress of its stages, newest first."""

    def compute() -> list[dict[str, Any]]:
        cohorts = [dict(row) for row in site.rows("SELECT * FROM cohort ORDER BY stamp_ns DESC")]
        progress: dict[str, dict[str, dict[str, int]]] = {}
        cost: dict[str, float] = {}
        for row in site.rows("SELECT * FROM progress"):
            progress.setdefault(row["cohort_id"], {}).setdefault(row["stage"], {})[row["status"]] = row["n"]
            cost[row["cohort_id"]] = cost.get(row["cohort_id"], 0.0) + (row["cost_usd"] or 0.0)
        for cohort in cohorts:
            stages = progress.get(cohort["cohort_id"], {})
            cohort["stages"] = [_sum_up(stage, stages.get(stage, {})) for stage in Stage]
            cohort["cost_usd"] = cost.get(cohort["cohort_id"])
            for name in ("total", "done", "failed", "missing", "unparsed"):
                cohort[name] = sum(stage[name] for stage in cohort["stages"])
        return cohorts

    return site.keep(("cohorts",), compute)


def _sum_up(stage: Stage, counts: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {status.value: counts.get(status.value, 0) for status in Status}
    return {**found, "stage": stage.value, "total": sum(counts.values())}


def find_failures(site: Site, cohort_id: str = "") -> list[dict[str, Any]]:
    """Failures by stage, reason and code, the most frequent first, each with a command that mends it per cohort."""

    def compute() -> list[dict[str, Any]]:
        among = "AND EXISTS (SELECT 1 FROM member m WHERE m.cohort_id = :cohort AND m.gen_id = g.gen_id)"
        rows = site.rows(
            "SELECT stage, reason, code, lasting, count(*) n, min(message) message, min(gen_id) gen_id, "
            "sum(cost_usd) cost_usd FROM generation g INDEXED BY generation_failed "
            f"WHERE status = 'failed' {among if cohort_id else ''} "
            "GROUP BY 1, 2, 3, 4 ORDER BY n DESC, 1, 2, 3",
            {"cohort": cohort_id},
        )
        cohorts = {} if cohort_id else _find_failed_cohorts(site)
        return [
            {
                **dict(row),
                "commands": [
                    find_remedy(site, row["reason"], bool(row["lasting"]), cohort)
                    for cohort in cohorts.get(tuple(row)[:4], [cohort_id])[:_SHOWN_COHORTS]
                ],
                "n_cohorts": len(cohorts.get(tuple(row)[:4], [])),
            }
            for row in rows
        ]

    return site.keep(("failures", cohort_id), compute)


def _find_failed_cohorts(site: Site) -> dict[tuple[Any, ...], list[str]]:
    """Cohorts, the newest first, by stage, reason, code and lasting of what failed in them."""
    found: dict[tuple[Any, ...], list[str]] = {}
    rows = site.rows(
        "SELECT DISTINCT g.stage, g.reason, g.code, g.lasting, c.cohort_id "
        "FROM cohort c CROSS JOIN generation g INDEXED BY generation_failed "
        "WHERE g.status = 'failed' AND EXISTS "
        "(SELECT 1 FROM member m WHERE m.cohort_id = c.cohort_id AND m.gen_id = g.gen_id) ORDER BY c.stamp_ns DESC"
    )
    for *group, cohort_id in rows:
        found.setdefault(tuple(group), []).append(cohort_id)
    return found


def find_remedy(site: Site, reason: str, lasting: bool, cohort_id: str) -> str:
    """The command that makes again what failed for a reason."""
    return site.command("run", *(("--retry", reason) if lasting else ()), cohort_id=cohort_id)


def _find_failed(site: Site, cohort_id: str, reason: str) -> Sequence[Any]:
    among = "AND EXISTS (SELECT 1 FROM member m WHERE m.cohort_id = :cohort AND m.gen_id = g.gen_id)"
    return site.rows(
        "SELECT gen_id, stage, template_id, llm_model_id, code, message FROM generation g "
        "INDEXED BY generation_failed WHERE status = 'failed' "
        f"AND reason = :reason {among if cohort_id else ''} ORDER BY stage, gen_id LIMIT :most",
        {"cohort": cohort_id, "reason": reason, "most": _SHOWN_MEMBERS},
    )


def _find_axes(site: Site, cohort_id: str) -> dict[str, list[tuple[str, int]]]:
    """Templates and models of a cohort with the number of its generations, by stage."""

    def compute() -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        question = "SELECT stage, kind, name, n FROM axis WHERE cohort_id = ? ORDER BY stage, kind DESC, name"
        for stage, kind, name, count in site.rows(question, (cohort_id,)):
            if not (kind == "model" and stage == Stage.ESSAY):
                found.setdefault(f"{stage} {kind}s", []).append((name, count))
        return found

    return site.keep(("axes", cohort_id), compute)


def _find_totals(site: Site) -> dict[str, Any]:
    def compute() -> dict[str, Any]:
        rows = site.rows("SELECT stage, count(*), sum(status = 'done'), sum(cost_usd) FROM generation GROUP BY stage")
        return {row[0]: {"all": row[1], "done": row[2], "cost_usd": row[3]} for row in rows}

    return site.keep(("totals",), compute)
