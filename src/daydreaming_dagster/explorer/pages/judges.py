"""What the judges are worth: how they use the scale, how far they agree, and where they do not."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from daydreaming_dagster.explorer.essay_query import complete_essays, find_rubric_ids
from daydreaming_dagster.explorer.human_panel import find_human_agreement
from daydreaming_dagster.explorer.ranking_table import find_table, read_rows
from daydreaming_dagster.explorer.rendering import Pages
from daydreaming_dagster.explorer.site import Site

_MOST_DISAGREEMENTS = 15
_CARD = {
    "severity": ("severity", "points above or below the average judge on the same essay"),
    "self_preference": ("own family", "points more for essays of the judge's own family"),
    "length_slope": ("length", "points per 100 words more of essay, beyond what others give"),
    "repeat_noise": ("noise", "standard deviation between repeated ratings"),
    "ceiling_share": ("ceiling", "share of ratings at the best end of the scale"),
}
_AGREEMENT = {
    "krippendorff_alpha_ordinal": "Krippendorff's α (ordinal)",
    "krippendorff_alpha_interval": "Krippendorff's α (interval)",
    "icc_a1": "ICC(A,1)",
    "icc_ak": "ICC(A,k)",
    "icc_ck": "ICC(C,k)",
    "kendall_w": "Kendall's W",
    "weighted_kappa": "Weighted κ",
    "intra_judge_alpha": "Agreement with itself (α)",
}


def show_judges(pages: Pages, request: Request) -> Response:
    """Health of the ratings, agreement, cards of the judges, people beside models, and disagreements worth reading."""
    site = pages.site
    rubrics = find_rubric_ids(site)
    rubric = request.query_params.get("rubric", "") or (rubrics[0] if rubrics else "")
    template = site.find_rubric(rubric)
    construct = template.construct if template else ""
    values = {
        "active": "judges",
        "rubric": rubric,
        "rubrics": rubrics,
        "template": template,
        "health": site.keep(("health", rubric), lambda: _find_health(site, rubric)),
        "agreement": _read_table(site, "agreement", construct),
        "agreement_names": _AGREEMENT,
        "card": _group_card(_read_table(site, "judge_card", construct)),
        "card_names": _CARD,
        "has_tables": find_table(site.paths, "agreement") is not None,
        "disagreements": _find_disagreements(site, rubric),
        "people": find_human_agreement(site, rubric),
    }
    return pages.page("judges.html", values)


def show_score_plot(pages: Pages, request: Request) -> Response:
    """How often each judge gave each score, for a Vega-Lite drawing."""
    site = pages.site
    rubric = request.query_params.get("rubric", "")
    template = site.find_rubric(rubric)
    rows = site.keep(
        ("histogram", rubric),
        lambda: [
            {"judge": row[0], "score": row[1], "n": row[2]}
            for row in site.rows(
                "SELECT llm_model_id, round(score, 1), count(*) FROM generation "
                "WHERE stage = 'evaluation' AND template_id = ? AND score IS NOT NULL GROUP BY 1, 2",
                (rubric,),
            )
        ],
    )
    return JSONResponse({"rows": rows, "scale": [template.scale_min, template.scale_max] if template else [0, 9]})


def _find_health(site: Site, rubric: str) -> list[dict[str, Any]]:
    """Per judge: ratings, failures, mean, spread, and how much lies at the ends of the scale."""
    template = site.find_rubric(rubric)
    low, high = (template.scale_min, template.scale_max) if template else (0.0, 9.0)
    rows = site.rows(
        """
        SELECT llm_model_id AS judge, count(*) AS n, sum(score IS NOT NULL) AS rated,
          sum(status = 'failed') AS failed, avg(score) AS mean, avg(score * score) AS mean_square,
          sum(score <= :low) AS at_floor, sum(score >= :high) AS at_ceiling
        FROM generation WHERE stage = 'evaluation' AND template_id = :rubric GROUP BY 1 ORDER BY 1
        """,
        {"rubric": rubric, "low": low, "high": high},
    )
    found = []
    for row in rows:
        rated = row["rated"]
        variance = (row["mean_square"] - row["mean"] ** 2) * rated / (rated - 1) if rated and rated > 1 else None
        found.append({**dict(row), "deviation": None if variance is None else max(variance, 0.0) ** 0.5})
    return found


def _find_disagreements(site: Site, rubric: str) -> list[dict[str, Any]]:
    """Essays on which the judges are furthest apart, with who said what."""

    def compute() -> list[dict[str, Any]]:
        rows = site.rows(
            "SELECT e.*, s.low, s.high, s.mean, s.n_judges, s.n_ratings FROM (SELECT * FROM essay_score "
            "WHERE template_id = ? AND n_judges > 1 ORDER BY high - low DESC, essay_gen_id LIMIT ?) s "
            "JOIN generation e ON e.gen_id = s.essay_gen_id ORDER BY s.high - s.low DESC, e.gen_id",
            (rubric, _MOST_DISAGREEMENTS),
        )
        essays = complete_essays(site, [dict(row) for row in rows])
        for essay in essays:
            essay["ratings"] = [
                dict(row)
                for row in site.rows(
                    "SELECT gen_id, llm_model_id, score FROM generation WHERE parent_gen_id = ? AND template_id = ? "
                    "AND score IS NOT NULL ORDER BY score DESC LIMIT 12",
                    (essay["gen_id"], rubric),
                )
            ]
        return essays

    return site.keep(("disagreements", rubric), compute)


def _read_table(site: Site, name: str, construct: str) -> list[dict[str, Any]]:
    path = find_table(site.paths, name)
    if path is None:
        return []
    rows = site.keep((name, path.stat().st_mtime_ns), lambda: read_rows(path))
    return [row for row in rows if row.get("construct") == construct]


def _group_card(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    card: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        card[row["judge_model"]][row["quantity"]] = row
    return dict(card)
