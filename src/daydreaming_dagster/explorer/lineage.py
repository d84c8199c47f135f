"""Where a generation comes from and what was made of it, drawn as a graph from left to right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from daydreaming_dagster.explorer.essay_query import find_concepts
from daydreaming_dagster.explorer.site import Site

_MOST_ESSAYS, _MOST_EVALUATIONS = 24, 24
_COLUMN_WIDTH, _BOX_WIDTH, _BOX_HEIGHT, _ROW_HEIGHT = 270, 220, 44, 56


@dataclass(frozen=True, slots=True)
class Node:
    """A box: a concept, or a generation.

    Attributes:
        kind: `concept`, `draft`, `essay` or `evaluation`, or `more` for what is not drawn.
        title, detail: two lines of text.
        href: where it leads; empty for nowhere.
        x, y: upper left corner, in the drawing's units.
    """

    kind: str
    title: str
    detail: str
    href: str
    x: float
    y: float
    is_chosen: bool = False
    is_failed: bool = False


@dataclass(slots=True)
class Graph:
    """A drawing: boxes, and the lines between them as SVG paths."""

    width: int = 0
    height: int = 0
    nodes: list[Node] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    box_width: int = _BOX_WIDTH
    box_height: int = _BOX_HEIGHT


def draw_lineage(site: Site, gen_id: str) -> Graph:
    """The tree of the draft that a generation belongs to; of a long one, the part around the generation."""
    draft, essay = _find_ancestors(site, gen_id)
    essays = _children(site, draft) if draft else ([essay] if essay else [])
    shown = _around(essays, essay, _MOST_ESSAYS)
    leaves: list[tuple[str, list[str], int]] = []
    for name in shown:
        # Evaluations are drawn for the essay that is looked at, or for the only one; of the others, their number.
        evaluations = _children(site, name)
        is_open = name == essay or len(essays) == 1
        chosen = _around(evaluations, gen_id, _MOST_EVALUATIONS) if is_open else []
        leaves.append((name, chosen, len(evaluations) - len(chosen)))
    return _lay_out(site, gen_id, draft, leaves, len(essays) - len(shown))


def _find_ancestors(site: Site, gen_id: str) -> tuple[str, str]:
    """Draft and essay of a generation; empty where it has none."""
    chain = [gen_id]
    while (row := _row(site, chain[0])) is not None and row["parent_gen_id"] and len(chain) < 3:
        chain.insert(0, row["parent_gen_id"])
    draft = next((name for name in chain if name.startswith("d_")), "")
    essay = next((name for name in chain if name.startswith("e_")), "")
    return draft, essay


def _children(site: Site, gen_id: str) -> list[str]:
    rows = site.rows(
        "SELECT gen_id FROM generation WHERE parent_gen_id = ? "
        "ORDER BY template_id, llm_model_id, replicate LIMIT 2000",
        (gen_id,),
    )
    return [row[0] for row in rows]


def _around(names: list[str], chosen: str, most: int) -> list[str]:
    if len(names) <= most:
        return names
    middle = names.index(chosen) if chosen in names else 0
    first = min(max(0, middle - most // 2), len(names) - most)
    return names[first : first + most]


def _lay_out(
    site: Site, gen_id: str, draft: str, leaves: list[tuple[str, list[str], int]], hidden_essays: int
) -> Graph:
    graph = Graph()
    y = 10.0
    essay_nodes: list[Node] = []
    for essay, evaluations, hidden in leaves:
        top = y
        children = [
            _generation_node(site, name, 3, y + place * _ROW_HEIGHT, gen_id) for place, name in enumerate(evaluations)
        ]
        y += len(children) * _ROW_HEIGHT
        if hidden:
            children.append(_more(f"{hidden} evaluations", essay, 3, y, bool(evaluations)))
            y += _ROW_HEIGHT
        y = max(y, top + _ROW_HEIGHT)
        node = _generation_node(site, essay, 2, (top + y - _ROW_HEIGHT) / 2, gen_id)
        essay_nodes.append(node)
        graph.nodes += [node, *children]
        graph.lines += [_line(node, child) for child in children]
    if hidden_essays:
        essay_nodes.append(_more(f"{hidden_essays} more essays", draft, 2, y, False))
        graph.nodes.append(essay_nodes[-1])
        y += _ROW_HEIGHT
    y = max(y, 10 + _ROW_HEIGHT)
    if draft:
        y = _add_sources(site, graph, draft, essay_nodes, y, gen_id)
    graph.width, graph.height = 4 * _COLUMN_WIDTH - (_COLUMN_WIDTH - _BOX_WIDTH) + 20, int(y + 10)
    return graph


def _add_sources(site: Site, graph: Graph, draft: str, essays: list[Node], y: float, gen_id: str) -> float:
    middle = (min(node.y for node in essays) + max(node.y for node in essays)) / 2 if essays else 10.0
    draft_row = _row(site, draft)
    combo = draft_row["combo_id"] if draft_row is not None else ""
    concepts = find_concepts(site, [combo]).get(combo, [])
    first = max(10.0, middle - (len(concepts) - 1) * _ROW_HEIGHT / 2)
    middle = max(middle, first + (len(concepts) - 1) * _ROW_HEIGHT / 2)
    node = _generation_node(site, draft, 1, middle, gen_id)
    graph.nodes.append(node)
    graph.lines += [_line(node, essay) for essay in essays]
    for place, concept in enumerate(concepts):
        box = Node(
            "concept",
            site.concept_name(concept),
            "concept",
            f"/essays?concept={concept}",
            10,
            first + place * _ROW_HEIGHT,
        )
        graph.nodes.append(box)
        graph.lines.append(_line(box, node))
    return max(y, first + len(concepts) * _ROW_HEIGHT)


def _generation_node(site: Site, name: str, column: int, y: float, chosen: str) -> Node:
    row = _row(site, name)
    if row is None:
        return Node("more", name, "not stored", "", 10 + column * _COLUMN_WIDTH, y)
    detail = row["llm_model_id"] or ""
    if row["score"] is not None:
        detail = f"{row['score']:g} · {detail}"
    if (row["replicate"] or 1) > 1:
        detail += f" · replicate {row['replicate']}"
    return Node(
        row["stage"],
        (site.rubric_name(row["template_id"]) if row["stage"] == "evaluation" else row["template_id"]) or name,
        detail,
        f"/generation/{name}",
        10 + column * _COLUMN_WIDTH,
        y,
        is_chosen=name == chosen,
        is_failed=row["status"] == "failed",
    )


def _more(text: str, parent: str, column: int, y: float, is_rest: bool) -> Node:
    title = f"{text} more" if is_rest else text
    return Node("more", title, "open to see them", f"/generation/{parent}/lineage", 10 + column * _COLUMN_WIDTH, y)


def _line(left: Node, right: Node) -> str:
    x1, y1 = left.x + _BOX_WIDTH, left.y + _BOX_HEIGHT / 2
    x2, y2 = right.x, right.y + _BOX_HEIGHT / 2
    middle = (x1 + x2) / 2
    return f"M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"


def _row(site: Site, gen_id: str) -> Any:
    return site.row("SELECT * FROM generation WHERE gen_id = ?", (gen_id,))
