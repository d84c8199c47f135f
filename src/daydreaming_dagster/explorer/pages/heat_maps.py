"""Where the good essays are: concept by concept, and template by model, each cell with the essays behind it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.essay_query import (
    find_choices,
    find_concepts,
    find_rubric_ids,
    link_to,
)
from daydreaming_dagster.explorer.rendering import Pages, show_points
from daydreaming_dagster.explorer.site import Site

_MOST_CONCEPTS = 60
_ESSAY = Stage.ESSAY.id_prefix
_AXES = {
    "draft": ("draft template × model", "draft_template", "model"),
    "essay": ("essay template × model", "essay_template", "model"),
    "templates": ("draft template × essay template", "draft_template", "essay_template"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """Essays that share a row and a column: their mean score and how many they are."""

    mean: float
    n: int
    href: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A table of cells; `low` and `high` are the ends of the colours, in points, equal where the cells look equal."""

    title: str
    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], Cell]
    low: float
    high: float
    row_names: dict[str, str]


def show_maps(pages: Pages, request: Request) -> Response:
    """Both heat maps for one rubric, of all essays or one cohort's."""
    site, params = pages.site, request.query_params
    rubrics = find_rubric_ids(site)
    rubric = params.get("rubric", "") or (rubrics[0] if rubrics else "")
    cohort = params.get("cohort", "")
    axes = params.get("axes", "draft")
    axes = axes if axes in _AXES else "draft"
    values = {
        "active": "maps",
        "rubric": rubric,
        "rubrics": rubrics,
        "cohort": cohort,
        "cohorts": find_choices(site)["cohort"],
        "axes": axes,
        "all_axes": {name: title for name, (title, _, _) in _AXES.items()},
        "concepts": site.keep(("concept map", rubric, cohort), lambda: _map_concepts(site, rubric, cohort)),
        "arms": site.keep(("arm map", rubric, cohort, axes), lambda: _map_arms(site, rubric, cohort, axes)),
        "template": site.find_rubric(rubric),
    }
    return pages.page("maps.html", values)


@dataclass(frozen=True, slots=True)
class _Group:
    """Essays made alike from the same draft: how many, and their scores added up."""

    combo: str
    draft_template: str
    essay_template: str
    model: str
    n: int
    total: float


def _find_groups(site: Site, rubric: str, cohort: str) -> list[_Group]:
    """All essays with a score by the rubric; both maps add up the same groups."""

    # A cohort's rows say all that is asked for; told by how their ids begin, its essays lie side by side.
    essays = (
        ("member e", f"e.cohort_id = :cohort AND e.gen_id BETWEEN '{_ESSAY}' AND '{_ESSAY}~'")
        if cohort
        else ("generation e INDEXED BY essay_facts", "e.stage = 'essay'")
    )

    def compute() -> list[_Group]:
        rows = site.rows(
            "SELECT e.combo_id, e.parent_gen_id, e.template_id, e.llm_model_id, count(*), sum(s.mean) "
            f"FROM {essays[0]} CROSS JOIN essay_score s ON s.template_id = :rubric "
            f"AND s.essay_gen_id = e.gen_id WHERE {essays[1]} GROUP BY 2, 3, 4, 1",
            {"rubric": rubric, "cohort": cohort},
        )
        drafts = dict(map(tuple, site.rows("SELECT gen_id, template_id FROM generation WHERE stage = 'draft'")))
        return [_Group(row[0], drafts.get(row[1]) or "", row[2] or "", row[3] or "", row[4], row[5]) for row in rows]

    return site.keep(("groups", rubric, cohort), compute)


def _map_concepts(site: Site, rubric: str, cohort: str) -> HeatMap:
    """Mean over the essays whose combination holds both concepts; the diagonal is over all with the one."""
    by_combo: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for group in _find_groups(site, rubric, cohort):
        by_combo[group.combo][0] += group.n
        by_combo[group.combo][1] += group.total
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    known: dict[str, list[str]] = {}
    for start in range(0, len(by_combo), 500):
        known |= find_concepts(site, list(by_combo)[start : start + 500])
    for combo_id, (count, total) in by_combo.items():
        concepts = sorted(known.get(combo_id, []))
        for pair in [*combinations(concepts, 2), *((concept, concept) for concept in concepts)]:
            sums[pair][0] += count
            sums[pair][1] += total
    names = sorted({name for pair in sums for name in pair}, key=site.concept_name)[:_MOST_CONCEPTS]
    cells: dict[tuple[str, str], Cell] = {}
    for (first, second), (count, total) in sums.items():
        pairs = [("concept", name) for name in dict.fromkeys((first, second))]
        href = link_to("/essays", [*pairs, ("rubric", rubric), *([("cohort", cohort)] if cohort else [])])
        cells[first, second] = cells[second, first] = Cell(total / count, int(count), href)
    return _build_map("Concept × concept", names, names, cells, {name: site.concept_name(name) for name in names})


def _map_arms(site: Site, rubric: str, cohort: str, axes: str) -> HeatMap:
    title, row_axis, column_axis = _AXES[axes]
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for group in _find_groups(site, rubric, cohort):
        place = sums[getattr(group, row_axis), getattr(group, column_axis)]
        place[0] += group.n
        place[1] += group.total
    cells: dict[tuple[str, str], Cell] = {}
    for (row, col), (count, total) in sums.items():
        chosen = [(row_axis, row), (column_axis, col), ("rubric", rubric), ("cohort", cohort)]
        href = link_to("/essays", [(name, value) for name, value in chosen if value])
        cells[row, col] = Cell(total / count, int(count), href)
    rows, columns = (sorted({pair[place] for pair in cells}) for place in (0, 1))
    return _build_map(title[:1].upper() + title[1:], rows, columns, cells, {"": "not stored"})


def _build_map(
    title: str, rows: list[str], columns: list[str], cells: dict[tuple[str, str], Cell], names: dict[str, Any]
) -> HeatMap:
    means = [cell.mean for cell in cells.values()]
    low, high = (min(means), max(means)) if means else (0.0, 1.0)
    if show_points(low) == show_points(high):
        high = low
    return HeatMap(title, rows, columns, cells, low, high, names)
