"""Anything that has a name can be compared with another of its kind, and what cannot is told why."""

from __future__ import annotations

import re

import pytest
from tests.experiments.rated_root import RatedRoot, score, spread

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.comparison import Comparison, compare_named, describe_contrast

CONCEPTS = tuple(f"concept-{number}" for number in range(6))


def sentences(found: Comparison) -> list[str]:
    return [describe_contrast(row) for row in found.table.iter_rows(named=True)]


@pytest.fixture
def planted(root: RatedRoot) -> RatedRoot:
    """Fifteen combinations; the essay template `plain` is worth three points more on both rubrics."""
    root.write_concepts(CONCEPTS)
    root.write_templates(Stage.ESSAY, {"plain": "Write: {{ draft_block }}", "ornate": "Adorn: {{ draft_block }}"})
    root.write_models(writers=["writer", "other-writer"], judges=["judge", "other-judge"])
    plain: set[str] = set()

    def judge(member: Member) -> str:
        if not plain:
            cohort = root.workspace().require_current_cohort()
            plain.update(m.gen_id for m in cohort.members if m.stage is Stage.ESSAY and m.template_id == "plain")
        base = 2 + int(spread(member).rpartition(" ")[2]) % 3
        return score(base + (3 if member.parent_gen_id in plain else 0))

    root.run(judge)
    return root


def test_a_planted_difference_between_templates_is_found_with_its_size(planted: RatedRoot) -> None:
    found = compare_named(planted.workspace(), "plain", "ornate")
    assert found.columns == ("essay_template",)
    for row in found.table.iter_rows(named=True):
        assert row["design"] == "paired"
        assert row["n_clusters"] == 15
        assert row["low"] < 3 < row["high"]
        assert row["p_holm"] < 0.01
    said = sentences(found)[0]
    size = r"by [23]\.\d\d \[2\.\d\d, 3\.\d\d\] points"
    assert re.match(rf"coherence: plain is better than ornate {size} \(p < \.001", said), said
    turned = compare_named(planted.workspace(), "ornate", "plain")
    assert sentences(turned)[0] == said


def test_where_nothing_was_planted_nothing_is_found(planted: RatedRoot) -> None:
    found = compare_named(planted.workspace(), "writer", "other-writer", margin=1.0)
    assert found.columns == ("generator_model",)
    assert all(row["p_holm"] > 0.05 for row in found.table.iter_rows(named=True))
    assert all(row["is_equivalent"] for row in found.table.iter_rows(named=True))
    assert "writer and other-writer differ by less than 1.00 points" in sentences(found)[0]


def test_a_judge_that_gives_more_is_not_called_better(planted: RatedRoot) -> None:
    found = compare_named(planted.workspace(), "judge", "other-judge")
    assert found.columns == ("judge_model",)
    assert "better" not in " ".join(sentences(found))


def test_names_of_two_things_are_compared_as_both_and_holm_counts_all_rows(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    for stage in (Stage.DRAFT, Stage.ESSAY):
        variable = "{% for c in concepts %}{{ c.name }}{% endfor %}" if stage is Stage.DRAFT else "{{ draft_block }}"
        root.write_templates(stage, {"one": f"1 {variable}", "two": f"2 {variable}"})
    root.run(spread)
    found = compare_named(root.workspace(), "one", "two")
    assert found.columns == ("draft_template", "essay_template")
    assert found.table.height == 4
    smallest = found.table.sort("p").row(0, named=True)
    assert smallest["p_holm"] == pytest.approx(min(1.0, 4 * smallest["p"]))
    assert "more than one thing" in found.notes[0]
    only = compare_named(root.workspace(), "one", "two", by="essay_template")
    assert only.table.height == 2


def test_cohorts_are_compared_and_shared_ratings_are_told(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.run(spread, cohort="first")
    root.write_replicates(evaluation=2)
    root.run(spread, cohort="second")
    found = compare_named(root.workspace(), "first", "second")
    assert found.is_answered
    assert found.notes == ["30 ratings belong to both and cannot differ."]


def test_experiments_are_compared_across_cohorts(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.run(lambda _: score(3), cohort="first", experiment="before")
    root.write_templates(Stage.ESSAY, {"better": "Better: {{ draft_block }}"})
    root.run(lambda _: score(6), cohort="second", experiment="after")
    found = compare_named(root.workspace(), "after", "before")
    assert [row["effect"] for row in found.table.iter_rows(named=True)] == [3.0, 3.0]
    assert "they also differ in essay_template" in found.table["note"][0]


def test_rubrics_that_measure_different_things_are_not_compared(root: RatedRoot) -> None:
    root.run(spread)
    found = compare_named(root.workspace(), "novelty", "coherence")
    assert not found.is_answered
    assert "not comparable because they measure different things" in sentences(found)[0]


def test_a_side_without_ratings_is_told(root: RatedRoot) -> None:
    root.write_models(writers=["writer"], judges=["judge"])
    root.run(spread)
    root.write_models(writers=["writer"], judges=["judge", "newcomer"])
    found = compare_named(root.workspace(), "judge", "newcomer")
    assert not found.is_answered
    assert "newcomer has no ratings" in sentences(found)[0]


@pytest.mark.parametrize(
    ("a", "b", "options", "reason", "words"),
    [
        ("judge", "judge", {}, "same_sides", "both sides"),
        ("judge", "novelty", {}, "kinds_differ", "'judge' is a model, 'novelty' is a template"),
        ("judg", "judge", {}, "unknown_name", "Did you mean judge"),
        ("judge", "writer", {"by": "cohort"}, "unknown_name", "no cohort called 'judge'"),
        ("judge", "writer", {"by": "colour"}, "configuration", "nothing to compare by 'colour'"),
        ("judge", "writer", {"margin": 0.0}, "configuration", "is no margin"),
        ("judge", "writer", {"margin": float("nan")}, "configuration", "is no margin"),
    ],
)
def test_a_question_that_makes_no_sense_is_an_error_with_a_fix(
    root: RatedRoot, a: str, b: str, options: dict[str, object], reason: str, words: str
) -> None:
    root.run(spread)
    with pytest.raises(ConfigurationError, match=words) as caught:
        compare_named(root.workspace(), a, b, **options)
    assert caught.value.reason == reason
    assert caught.value.fix
