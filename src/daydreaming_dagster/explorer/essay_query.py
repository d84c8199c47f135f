"""Which essays a page is about: the filters of its address, and the question they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from daydreaming_dagster.explorer.site import Site

PAGE_SIZE = 50
SORTS = {
    "score": "score, best first",
    "shrunken": "shrunken estimate, best first",
    "lowest": "score, lowest first",
    "spread": "judges' disagreement",
    "newest": "newest first",
    "longest": "longest first",
}
_LISTS = ("concept",)
_TEXTS = ("cohort", "draft_template", "essay_template", "model", "status", "combo")


@dataclass(frozen=True, slots=True)
class EssayQuery:
    """The filters of a list of essays; empty ones do not filter.

    Attributes:
        concept: all of these must be in the combination.
        rubric: the evaluation template whose scores are shown first and sorted by.
        sort: a key of `SORTS`.
        page: from 1.
    """

    cohort: str = ""
    concept: tuple[str, ...] = ()
    draft_template: str = ""
    essay_template: str = ""
    model: str = ""
    status: str = ""
    combo: str = ""
    rubric: str = ""
    sort: str = "score"
    page: int = 1

    @classmethod
    def of_params(cls, site: Site, params: QueryParams) -> EssayQuery:
        """The filters of an address; what it says wrongly is as if it did not say it."""
        sort = params.get("sort", "")
        rubric = params.get("rubric", "")
        return cls(
            **{name: params.get(name, "") for name in _TEXTS},
            concept=tuple(dict.fromkeys(name for name in params.getlist("concept") if name))[:8],
            rubric=rubric or next(iter(find_rubric_ids(site)), ""),
            sort=sort if sort in SORTS else "score",
            page=max(1, read_number(params, "page", 1)),
        )

    def link(self, path: str = "/essays", **changes: Any) -> str:
        """The address of these filters with some of them changed; the page starts anew unless it is changed."""
        return link_to(path, self.values(**{"page": 1, **changes}))

    def values(self, **changes: Any) -> list[tuple[str, str]]:
        """Names and values as an address holds them, without those that say nothing."""
        query = replace(self, **changes)
        pairs = [(name, getattr(query, name)) for name in (*_TEXTS, "rubric")]
        pairs += [("concept", concept) for concept in query.concept]
        if query.sort != "score":
            pairs.append(("sort", query.sort))
        if query.page > 1:
            pairs.append(("page", str(query.page)))
        return [(name, value) for name, value in pairs if value]

    @property
    def is_filtered(self) -> bool:
        """Whether some essays may be left out."""
        return any(getattr(self, name) for name in (*_TEXTS, *_LISTS))


def read_number(params: QueryParams, name: str, default: int = 0) -> int:
    """A whole number of an address, from 0 to 999,999; the default where there is none."""
    text = params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else default


def link_to(path: str, pairs: Sequence[tuple[str, str]] | Mapping[str, str]) -> str:
    """An address with a query string, escaped."""
    question = urlencode(list(pairs.items()) if isinstance(pairs, Mapping) else list(pairs))
    return f"{path}?{question}" if question else path


def find_rubric_ids(site: Site) -> list[str]:
    """Evaluation templates that have scores, in the order of the catalogue."""

    def compute() -> list[str]:
        # A loose scan: one step of the key per rubric and not one per essay.
        found: list[str] = []
        row = site.row("SELECT min(template_id) FROM essay_score")
        while row is not None and row[0] is not None:
            found.append(row[0])
            row = site.row("SELECT min(template_id) FROM essay_score WHERE template_id > ?", (row[0],))
        order = [rubric.template_id for rubric in site.rubrics()]
        return sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))

    return site.keep(("rubric ids",), compute)


_MOST_WALKED = 2000
"""So many scores are looked through, the best first, before all essays are sorted."""
_JOINS = {
    "d": "LEFT JOIN generation d ON d.gen_id = e.parent_gen_id",
    "s": "LEFT JOIN essay_score s ON s.template_id = :rubric AND s.essay_gen_id = e.gen_id",
    "r": "LEFT JOIN ranking r ON r.construct = :construct AND r.essay_gen_id = e.gen_id",
}
_NEEDED = {"score": "s", "lowest": "s", "shrunken": "rs", "spread": "s", "newest": "", "longest": ""}
"""Which joins a sort needs."""
_BY_SCORE = ("score", "lowest")


def _build_filters(site: Site, query: EssayQuery) -> tuple[str, dict[str, Any]]:
    rubric = site.find_rubric(query.rubric)
    values: dict[str, Any] = {"rubric": query.rubric, "construct": rubric.construct if rubric else ""}
    where = ["e.stage = 'essay'"]
    for column, name in (
        ("e.template_id", "essay_template"),
        ("e.llm_model_id", "model"),
        ("e.status", "status"),
        ("e.combo_id", "combo"),
        ("d.template_id", "draft_template"),
    ):
        if value := getattr(query, name):
            where.append(f"{column} = :{name}")
            values[name] = value
    for position, concept in enumerate(query.concept):
        where.append(f"e.combo_id IN (SELECT combo_id FROM combination WHERE concept_id = :concept{position})")
        values[f"concept{position}"] = concept
    if query.cohort:
        where.append("EXISTS (SELECT 1 FROM member m WHERE m.cohort_id = :cohort AND m.gen_id = e.gen_id)")
        values["cohort"] = query.cohort
    return " AND ".join(where), values


def _build_source(site: Site, query: EssayQuery, needed: str) -> tuple[str, dict[str, Any]]:
    """All essays that the filters leave, as `e`, with what a sort needs."""
    where, values = _build_filters(site, query)
    # Of a list of many thousands only what is filtered and sorted by is looked at; the index has all of it.
    joins = [join for name, join in _JOINS.items() if name in needed or (name == "d" and query.draft_template)]
    return f"FROM generation e INDEXED BY essay_facts {' '.join(joins)} WHERE {where}", values


def _build_top(site: Site, query: EssayQuery) -> tuple[str, dict[str, Any]]:
    """Those of the filters' essays that are among the first scores in the order of the list, as `e` and `s`."""
    where, values = _build_filters(site, query)
    scores = (
        "SELECT * FROM essay_score s INDEXED BY essay_score_by_mean WHERE s.template_id = :rubric "
        f"ORDER BY {_order_scores(site, query)}, s.essay_gen_id LIMIT {_MOST_WALKED}"
    )
    drafts = _JOINS["d"] if query.draft_template else ""
    essays = "CROSS JOIN generation e INDEXED BY essay_facts ON e.gen_id = s.essay_gen_id"
    return f"FROM ({scores}) s {essays} {drafts} WHERE {where}", values


def _order_scores(site: Site, query: EssayQuery) -> str:
    rubric = site.find_rubric(query.rubric)
    ascends = (rubric is not None and rubric.direction == "lower_is_better") != (query.sort == "lowest")
    return f"s.mean {'ASC' if ascends else 'DESC'} NULLS LAST, s.n_judges DESC"


def _build_order(site: Site, query: EssayQuery) -> str:
    by_score = _order_scores(site, query)
    first = {
        "score": by_score,
        "lowest": by_score,
        "shrunken": f"r.shrunken DESC NULLS LAST, {by_score}",
        "spread": "s.high - s.low DESC NULLS LAST",
        "newest": "e.finished_at DESC",
        "longest": "e.words DESC NULLS LAST",
    }[query.sort]
    return f"ORDER BY {first}, e.gen_id"


_FIELDS = """
    e.gen_id, e.title, e.words, e.status, e.reason, e.template_id AS essay_template, e.llm_model_id AS model,
    e.combo_id, e.replicate, e.parent_gen_id, d.template_id AS draft_template,
    s.mean, s.low, s.high, s.n_judges, s.n_ratings,
    r.shrunken, r.low AS interval_low, r.high AS interval_high, r.p_top_k, r.k
"""


def count_essays(site: Site, query: EssayQuery) -> int:
    """How many essays the filters leave."""
    source, values = _build_source(site, query, "")
    key = ("count", tuple(query.values(page=1, sort="score", rubric="")))
    return site.keep(key, lambda: int(site.rows(f"SELECT count(*) {source}", values)[0][0]))


def find_essays(site: Site, query: EssayQuery, limit: int = PAGE_SIZE) -> list[dict[str, Any]]:
    """One page of essays, each with the scores of every rubric (`scores`) and its concepts (`concepts`)."""
    ids = _find_ids(site, query, (query.page - 1) * PAGE_SIZE, limit)
    rubric = site.find_rubric(query.rubric)
    values = {f"id{place}": gen_id for place, gen_id in enumerate(ids)}
    marks = ", ".join(f":{name}" for name in values)
    question = f"SELECT {_FIELDS} FROM generation e {' '.join(_JOINS.values())} WHERE e.gen_id IN ({marks})"
    values |= {"rubric": query.rubric, "construct": rubric.construct if rubric else ""}
    found = {row["gen_id"]: dict(row) for row in site.rows(question, values)}
    return complete_essays(site, [found[gen_id] for gen_id in ids if gen_id in found])


def find_neighbours(site: Site, query: EssayQuery, gen_id: str, at: int) -> tuple[str | None, str | None]:
    """The essays before and after one in the list of the filters.

    Args:
        site: the data root.
        query: the filters of the list.
        gen_id: the essay in between.
        at: where it stood in the list, from 0; when it stands there no more, there are none.
    """
    first = max(at - 1, 0)
    found = _find_ids(site, query, first, at - first + 2)
    if gen_id not in found:
        return None, None
    place = found.index(gen_id)
    return (found[place - 1] if place else None), (found[place + 1] if place + 1 < len(found) else None)


def _find_ids(site: Site, query: EssayQuery, offset: int, limit: int) -> list[str]:
    order = f"{_build_order(site, query)} LIMIT :limit OFFSET :offset"

    def ask(source: str, values: dict[str, Any]) -> list[str]:
        rows = site.rows(f"SELECT e.gen_id {source} {order}", {**values, "limit": limit, "offset": offset})
        return [row[0] for row in rows]

    def compute() -> list[str]:
        # The first pages stand at the head of an index nearly always; else all that is left is sorted.
        is_near = query.sort in _BY_SCORE and offset + limit <= _MOST_WALKED
        found = ask(*_build_top(site, query)) if is_near else []
        return found if len(found) == limit else ask(*_build_source(site, query, _NEEDED[query.sort]))

    return site.keep(("ids", order, tuple(query.values(page=1)), offset, limit), compute)


def complete_essays(site: Site, essays: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The essays with their scores by rubric and the ids of their concepts."""
    ids = [essay["gen_id"] for essay in essays]
    marks = ", ".join("?" * len(ids))
    scores: dict[str, dict[str, Any]] = {}
    for row in site.rows(f"SELECT * FROM essay_score WHERE essay_gen_id IN ({marks})", tuple(ids)):
        scores.setdefault(row["essay_gen_id"], {})[row["template_id"]] = dict(row)
    concepts = find_concepts(site, [essay["combo_id"] for essay in essays])
    for essay in essays:
        essay["scores"] = scores.get(essay["gen_id"], {})
        essay["concepts"] = concepts.get(essay["combo_id"], [])
    return essays


def find_concepts(site: Site, combo_ids: Sequence[str]) -> dict[str, list[str]]:
    """Concept ids of combinations, in the order of their prompts."""
    wanted = list(dict.fromkeys(combo_ids))
    marks = ", ".join("?" * len(wanted))
    found: dict[str, list[str]] = {}
    question = f"SELECT combo_id, concept_id FROM combination WHERE combo_id IN ({marks}) ORDER BY combo_id, position"
    for combo_id, concept_id in site.rows(question, tuple(wanted)):
        found.setdefault(combo_id, []).append(concept_id)
    return found


def find_choices(site: Site) -> dict[str, list[str]]:
    """What each filter can be set to: what is there, in order."""

    def compute() -> dict[str, list[str]]:
        def column(question: str) -> list[str]:
            return [row[0] for row in site.rows(question) if row[0]]

        by_stage = "SELECT DISTINCT {} FROM generation WHERE stage = '{}' ORDER BY 1"
        return {
            "cohort": column("SELECT cohort_id FROM cohort ORDER BY stamp_ns DESC"),
            "concept": column("SELECT DISTINCT concept_id FROM combination ORDER BY 1"),
            "draft_template": column(by_stage.format("template_id", "draft")),
            "essay_template": column(by_stage.format("template_id", "essay")),
            "model": column(by_stage.format("llm_model_id", "essay")),
            "status": column(by_stage.format("status", "essay")),
        }

    return site.keep(("choices",), compute)
