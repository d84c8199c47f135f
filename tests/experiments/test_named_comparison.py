"""Anything that has a name can be compared with another of its kind, and what cannot is told why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
from tests.experiments.rated_root import RatedRoot, essays, evaluations, score, spread

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.comparison import Comparison, compare_named, describe_contrast

CONCEPTS = tuple(f"concept-{number}" for number in range(6))


def sentences(found: Comparison) -> list[str]:
    return [describe_contrast(row, found.n_questions) for row in found.table.iter_rows(named=True)]


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


CLOSE = {
    "construct": "novelty", "a": "one", "b": "two", "by": "judge_model", "is_comparable": True, "design": "paired",
    "effect": -0.27, "low": -0.55, "high": -0.05, "p": 0.031, "p_holm": 0.094, "n_clusters": 20, "margin": None,
    "is_equivalent": None,
}  # fmt: skip


def test_an_interval_without_zero_that_decides_nothing_is_explained() -> None:
    assert describe_contrast(CLOSE, 3) == (
        "novelty: which gives higher scores cannot be told (one less two: −0.27 [−0.55, −0.05] points, p .031, after "
        "Holm .094, paired over 20 combinations); interval and p are for this question alone: of 3 asked together "
        "one may look so by chance."
    )
    alone = describe_contrast(CLOSE | {"p": 0.06, "p_holm": 0.06}, 1)
    assert alone.endswith("; the interval alone says otherwise, the test has the last word.")
    assert describe_contrast(CLOSE | {"high": 0.05, "p": 0.06}, 3).endswith("paired over 20 combinations).")


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


def test_ratings_of_both_cohorts_do_not_dilute_the_difference_of_the_others(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.write_templates(Stage.ESSAY, {"plain": "Write: {{ draft_block }}", "shared": "Say: {{ draft_block }}"})
    first = {member.gen_id for member in root.run(lambda _: score(3), cohort="first")}
    root.write_templates(Stage.ESSAY, {"shared": "Say: {{ draft_block }}", "ornate": "Adorn: {{ draft_block }}"})
    root.run(lambda member: score(3 if member.gen_id in first else 7), cohort="second")
    found = compare_named(root.workspace(), "second", "first")
    assert [row["effect"] for row in found.table.iter_rows(named=True)] == [4.0, 4.0]
    assert found.notes[0] == "30 ratings of both sides left out, which cannot differ."


def test_a_cohort_that_holds_all_of_another_cannot_be_compared_with_it(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.run(spread, cohort="first")
    root.write_replicates(evaluation=2)
    root.run(spread, cohort="second")
    found = compare_named(root.workspace(), "first", "second")
    assert not found.is_answered
    assert "not comparable because no rating of first is its own: second has them, too" in sentences(found)[0]


def judge_again(root: RatedRoot, essay_ids: Iterable[str], answer: Callable[[Member], str], cohort: str) -> None:
    """Another cohort, in which the essays are judged again and nothing else is made."""
    root.select_essays("# mode: reuse-essays", *essay_ids)
    for member in root.build(cohort).members:
        if member.stage is Stage.EVALUATION:
            root.keep(member, answer(member), f"{answer(member).rpartition(' ')[2]}.0\n")


def test_the_same_judge_months_later_is_compared_essay_by_essay(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.write_replicates(essay=2)
    once = root.run(lambda m: score(int(spread(m)[-1]) // 2), cohort="then")
    then = {(m.parent_gen_id, m.template_id): int(spread(m)[-1]) // 2 for m in evaluations(once)}
    chosen = [member.gen_id for member in essays(once) if member.replicate == 1]
    judge_again(root, chosen, lambda m: score(then[m.parent_gen_id, m.template_id] + 1), "now")
    found = compare_named(root.workspace(), "now", "then")
    for row in found.table.iter_rows(named=True):
        assert row["design"] == "paired_by_essay"
        assert (row["effect"], row["low"], row["high"]) == (1.0, 1.0, 1.0)
        assert (row["n_a"], row["n_b"], row["n_clusters"]) == (15, 15, 15)
        assert "15 ratings without a counterpart left out" in row["note"]
    said = "coherence: now gives higher scores than then by 1.00 [1.00, 1.00] points"
    assert sentences(found)[0].startswith(said)


def test_judging_only_the_best_again_is_told_to_fall_by_chance(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.write_templates(Stage.EVALUATION, {"novelty": "Judge: {{ response }}"})
    once = evaluations(root.run(spread, cohort="then"))
    best = sorted(once, key=lambda m: int(spread(m)[-1]))[-6:]
    judge_again(root, [m.parent_gen_id for m in best], lambda _: score(5), "now")
    row = compare_named(root.workspace(), "now", "then").table.row(0, named=True)
    assert "if they were chosen for that, part of the difference is chance" in row["note"]


def test_essays_that_a_judge_failed_on_are_not_taken_for_a_choice(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.write_models(writers=["writer"], judges=["judge", "other-judge"])
    lowest = min(essays(list(root.plan().members)), key=lambda m: m.gen_id).gen_id

    def judge(member: Member) -> str:
        if member.parent_gen_id != lowest:
            return spread(member)
        return "No." if member.llm_model_id == "judge" else score(0)

    root.run(judge)
    for row in compare_named(root.workspace(), "judge", "other-judge").table.iter_rows(named=True):
        assert row["note"] == "1 rating without a counterpart left out"


def test_writers_are_also_compared_without_judges_of_their_families(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    root.run_with_kin()
    note = "Without judges of the writer's own family, small less big: coherence −2.00 [−2.00, −2.00] and novelty"
    (told,) = compare_named(root.workspace(), "small", "big").notes
    assert told.startswith(note)
    assert compare_named(root.workspace(), "kin", "stranger").notes == []


def test_writers_rated_by_their_own_families_only_are_said_to_be(root: RatedRoot) -> None:
    root.write_models(writers=["big", "small"], judges=["kin"])
    root.write_families({"big": "one", "small": "one", "kin": "one"})
    root.run(spread)
    (told,) = compare_named(root.workspace(), "big", "small").notes
    others = "what others would say is unknown"
    assert told == f"Without judges of the writer's own family big and small cannot be compared: {others}."


def test_where_nothing_can_be_compared_nothing_is_said_of_judges_of_the_own_family(root: RatedRoot) -> None:
    root.write_models(writers=["big", "small"], judges=["kin"])
    root.write_families({"big": "one", "small": "one", "kin": "one"})
    writers = {member.gen_id: member.llm_model_id for member in root.plan().members}
    root.run(lambda member: spread(member) if writers[member.parent_gen_id] == "big" else None)
    found = compare_named(root.workspace(), "big", "small")
    assert "small has no ratings" in sentences(found)[0]
    assert found.notes == ["Within this cohort. Over all cohorts: daydreaming compare big small --all"]


def test_effects_without_judges_of_the_own_family_say_of_what_they_are(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    for stage, variable in ((Stage.DRAFT, "{{ concepts[0].name }}"), (Stage.ESSAY, "{{ draft_block }}")):
        root.write_templates(stage, {"one": f"1 {variable}", "two": f"2 {variable}"})
    root.write_models(writers=["writer"], judges=["kin", "stranger"])
    root.write_families({"writer": "one", "kin": "one", "stranger": "two"})
    root.run(lambda m: None if (m.llm_model_id, m.template_id) == ("stranger", "novelty") else score(5))
    told = compare_named(root.workspace(), "one", "two").notes[-1]
    words = "coherence 0.00 [0.00, 0.00] and novelty not comparable"
    assert told.endswith(f"one less two: as draft template: {words}; as essay template: {words}.")


def test_a_new_judge_is_compared_with_the_old_one_over_all_cohorts(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    once = root.run(lambda _: score(4), cohort="then")
    root.write_models(writers=["writer"], judges=["newcomer"])
    judge_again(root, [member.gen_id for member in essays(once)], lambda _: score(6), "now")
    within = compare_named(root.workspace(), "newcomer", "writer", by="judge_model")
    assert not within.is_answered
    assert within.notes == ["Within this cohort. Over all cohorts: daydreaming compare newcomer writer --all"]
    cohorts = compare_named(root.workspace(), "now", "then")
    assert "no evaluator rated both sides (judges: newcomer against judge)" in sentences(cohorts)[0]
    found = compare_named(root.workspace(), "newcomer", "judge", everywhere=True)
    assert found.columns == ("judge_model",)
    assert [row["effect"] for row in found.table.iter_rows(named=True)] == [2.0, 2.0]
    assert set(found.table["design"].to_list()) == {"paired_by_essay"}


def test_another_text_of_the_rubric_is_named_as_a_possible_reason(root: RatedRoot) -> None:
    root.write_concepts(CONCEPTS)
    once = root.run(lambda _: score(4), cohort="then")
    root.write(root.paths.template(Stage.EVALUATION, "novelty"), "Judge strictly: {{ response }}")
    judge_again(root, [member.gen_id for member in essays(once)], lambda _: score(2), "now")
    coherence, novelty = compare_named(root.workspace(), "now", "then").table.iter_rows(named=True)
    assert "the text of novelty is not the same for both, which may be the reason" in novelty["note"]
    assert coherence["note"] is None


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
    assert found.notes == []


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
        ("judg", "judge", {}, "unknown_name", "is 'judge' meant"),
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
