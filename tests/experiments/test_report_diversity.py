"""What a report says of how different the essays are holds for all of them, whatever is compared at equal numbers."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from tests.experiments.rated_root import RatedRoot, spread

from daydreaming_dagster.analysis.diversity import ESSAY_TEXTS_SCHEMA, build_diversity, build_rarefaction
from daydreaming_dagster.experiments.report_diversity import build_diversity_section
from daydreaming_dagster.experiments.report_document import Grid, Paragraph, Section
from daydreaming_dagster.experiments.report_material import read_material
from daydreaming_dagster.experiments.scope import read_scope


def describe(root: RatedRoot, essays: list[tuple[str | None, str | None, str]]) -> Section:
    """The section about essays given as essay template, writer and text, each of a combination of its own."""
    root.run(spread)
    workspace = root.workspace()
    material = read_material(workspace, read_scope(workspace, None))
    rows = [(f"e_{at:03}", f"c_{at:03}", "draft", *essay) for at, essay in enumerate(essays)]
    texts = pl.DataFrame(rows, schema=ESSAY_TEXTS_SCHEMA, orient="row")
    tables = {**material.data.tables, "diversity": build_diversity(texts), "rarefaction": build_rarefaction(texts)}
    return build_diversity_section(replace(material, data=replace(material.data, texts=texts, tables=tables)))


def words_of(at: int) -> str:
    return " ".join(f"word{at}x{place}" for place in range(6))


def told(section: Section) -> list[str]:
    return [block.text for block in section.blocks if isinstance(block, Paragraph)]


def rows_of(section: Section) -> list[tuple[str, ...]]:
    return [tuple(row) for block in section.blocks if isinstance(block, Grid) for row in block.rows]


def test_two_alike_in_a_large_group_beside_a_small_one_are_found(root: RatedRoot) -> None:
    large = [("narrative", "big", words_of(max(at, 1))) for at in range(40)]
    small = [("narrative", "small", words_of(at)) for at in range(100, 105)]
    lead = told(describe(root, [*large, *small]))[0]
    assert lead == "Essays repeat each other most in big (generator model): of 40 essays 39 are different."


def test_of_more_essays_than_are_compared_nothing_is_said_of_the_rest(root: RatedRoot) -> None:
    lead = told(describe(root, [("narrative", "big", words_of(at)) for at in range(101)]))[0]
    assert lead == "No essay repeats another of its group among the 100 compared (cosine of 0.8 or more)."


def test_a_measure_that_one_group_has_not_is_not_estimable_there(root: RatedRoot) -> None:
    wordy = [("narrative", "big", words_of(at)) for at in range(6)]
    terse = [("narrative", "small", f"word{at}") for at in range(6)]
    (row,) = [row for row in rows_of(describe(root, [*wordy, *terse])) if row[1] == "small"]
    assert "not estimable" in row


def test_all_essays_are_all_of_them_also_where_a_template_is_not_known(root: RatedRoot) -> None:
    known = [("narrative", "big", words_of(at)) for at in range(6)]
    unknown = [(None, "big", words_of(at)) for at in range(6, 9)]
    assert [row[:3] for row in rows_of(describe(root, [*known, *unknown]))] == [
        ("all", "all essays", "9 of 9"),
        ("essay template", "narrative", "6 of 6"),
    ]


def test_a_small_group_is_named_although_a_large_one_of_another_kind_has_its_name(root: RatedRoot) -> None:
    large = [("same", "big", words_of(at)) for at in range(6)]
    small = [("other", "same", words_of(at)) for at in range(6, 8)]
    few = [text for text in told(describe(root, [*large, *small])) if text.startswith("Not measured")]
    assert few == ["Not measured: other (essay template) and same (generator model), with fewer than 5 essays each."]
