"""Curated cohorts on a store: from a selection file to rows, and again after some of them were made."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.fakes.data_root import DataRoot, of_stage

from daydreaming_dagster.domain.errors import ConfigurationError, InputErrors
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cohort_files import read_cohort
from daydreaming_dagster.store.cohorts import CohortPlan


@pytest.fixture
def base(root: DataRoot) -> CohortPlan:
    """A complete Cartesian cohort: three drafts, three essays, six evaluations, all generated."""
    plan = root.build()
    root.generate(plan.members)
    return plan


def replicates_of(plan: CohortPlan, stage: Stage) -> list[int]:
    return [member.replicate for member in of_stage(plan.members, stage)]


def problems_of(root: DataRoot) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        root.plan()
    return [str(problem).removeprefix(f"{root.paths.tasks}/") for problem in caught.value.problems]


def first_essay(plan: CohortPlan) -> Member:
    return of_stage(plan.members, Stage.ESSAY)[0]


# Modes --------------------------------------------------------------------------------------------------------------
def test_an_essay_alone_in_the_file_is_regenerated(root: DataRoot, base: CohortPlan) -> None:
    essay = first_essay(base)
    root.select_essays(essay.gen_id)
    plan = root.build()
    assert plan.cohort_id != base.cohort_id
    assert [replicates_of(plan, stage) for stage in Stage] == [[2], [1], [1, 1]]
    assert plan.members[0].combo_id == essay.combo_id
    assert {member.mode for member in plan.members} == {"regenerate"}
    assert plan.combinations.keys() == {essay.combo_id}
    assert plan.notes == [
        f"{root.paths.selected_essays}: 1 selected essay, mode regenerate. Delete the file to use all active inputs."
    ]


def test_reusing_drafts(root: DataRoot, base: CohortPlan) -> None:
    essay = first_essay(base)
    root.select_essays("# mode: reuse-drafts", essay.gen_id)
    plan = root.build()
    assert [replicates_of(plan, stage) for stage in Stage] == [[1], [2], [1, 1]]
    assert plan.members[0].gen_id == essay.parent_gen_id


def test_reusing_essays(root: DataRoot, base: CohortPlan) -> None:
    root.write_replicates(evaluation=2)
    root.select_essays("# mode: reuse-essays", first_essay(base).gen_id)
    plan = root.build()
    assert [replicates_of(plan, stage) for stage in Stage] == [[1], [1], [2, 3, 2, 3]]


def test_filling_up_a_complete_store_schedules_nothing(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays("# mode: reuse-essays", "# fill-up", *(m.gen_id for m in of_stage(base.members, Stage.ESSAY)))
    plan = root.build()
    assert {member.gen_id for member in plan.members} == {member.gen_id for member in base.members}


def test_filling_up_for_a_new_judge_makes_what_the_new_judge_has_to_do(root: DataRoot, base: CohortPlan) -> None:
    root.write_models(writers=["writer"], judges=["judge", "second"])
    root.select_essays("# mode: reuse-essays", "# fill-up", first_essay(base).gen_id)
    plan = root.build()
    stored = {member.gen_id for member in base.members}
    new = [(m.template_id, m.llm_model_id, m.replicate) for m in plan.members if m.gen_id not in stored]
    assert new == [("novelty", "second", 1), ("coherence", "second", 1)]
    assert len(of_stage(plan.members, Stage.EVALUATION)) == 4


def test_selected_drafts(root: DataRoot, base: CohortPlan) -> None:
    root.write_templates(Stage.ESSAY, {"narrative": "{{ draft_block }}", "report": "{{ draft_block }}"})
    drafts = [member.gen_id for member in of_stage(base.members, Stage.DRAFT)[:2]]
    root.select_drafts(*drafts)
    plan = root.build()
    assert [member.gen_id for member in of_stage(plan.members, Stage.DRAFT)] == drafts
    essays = [
        (member.parent_gen_id, member.template_id, member.replicate) for member in of_stage(plan.members, Stage.ESSAY)
    ]
    assert essays == [(draft, *rest) for draft in drafts for rest in (("narrative", 2), ("report", 1))]
    root.select_drafts("# mode: regenerate", *drafts)
    assert replicates_of(root.plan(), Stage.DRAFT) == [2, 2]


def test_more_replicates_of_a_draft_start_behind_the_highest(root: DataRoot, base: CohortPlan) -> None:
    draft = base.members[0]
    root.write_replicates(draft=5)
    root.generate(member for member in root.plan().members if member.stage is Stage.DRAFT and member.replicate == 5)
    root.write_replicates(draft=2)
    root.select_drafts("# mode: regenerate", draft.gen_id)
    assert replicates_of(root.plan(), Stage.DRAFT) == [6, 7]


def test_concepts_that_are_not_active_play_no_part(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays(first_essay(base).gen_id)
    first = root.plan()
    root.write_concepts(["flywheel"], inactive=["mind-wandering", "economic-moat"])
    assert root.plan().cohort_id == first.cohort_id
    assert root.plan().combinations == first.combinations


# Building again -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["regenerate", "reuse-drafts", "reuse-essays"])
def test_building_again_after_the_new_replicates_were_made_is_no_change(
    root: DataRoot, base: CohortPlan, mode: str
) -> None:
    root.select_essays(f"# mode: {mode}", *(member.gen_id for member in of_stage(base.members, Stage.ESSAY)))
    first = root.build()
    root.generate(first.members)
    again = root.build()
    assert again.unchanged
    assert list(again.members) == list(first.members)
    shutil.rmtree(root.paths.cohorts)
    rebuilt = root.build()
    assert list(rebuilt.members) == list(first.members)


def test_another_name_for_the_same_selection_makes_further_replicates(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays("# mode: reuse-essays", first_essay(base).gen_id)
    root.generate(root.build("second-opinion").members)
    assert replicates_of(root.build("third-opinion"), Stage.EVALUATION) == [3, 3]
    assert replicates_of(root.build("second-opinion"), Stage.EVALUATION) == [2, 2]


def test_a_name_that_is_kept_for_everything_still_gets_new_replicates(root: DataRoot) -> None:
    root.generate(root.build("mine").members)
    root.select_essays(of_stage(read_cohort(root.paths, "mine").members, Stage.ESSAY)[0].gen_id)
    first = root.build("mine")
    assert replicates_of(first, Stage.DRAFT) == [2]
    root.generate(first.members)
    root.select_essays(first_essay(first).gen_id)
    assert replicates_of(root.build("mine"), Stage.DRAFT) == [3]


def test_a_reused_generation_keeps_the_cohort_that_made_it(root: DataRoot, base: CohortPlan) -> None:
    essay = first_essay(base)
    root.select_essays("# mode: reuse-essays", essay.gen_id)
    plan = root.build()
    root.generate(plan.members)
    stored = root.store.find_metadata(Stage.ESSAY, essay.gen_id)
    assert stored is not None
    assert stored.origin_cohort_id == base.cohort_id
    assert {member.cohort_id for member in plan.members} == {plan.cohort_id}


# Refusals -----------------------------------------------------------------------------------------------------------
def test_every_id_that_cannot_be_used_is_told_with_its_line(root: DataRoot, base: CohortPlan) -> None:
    draft, essay = base.members[0], first_essay(base)
    evaluation = of_stage(base.members, Stage.EVALUATION)[0]
    root.select_essays("# winners", "e_unheard", essay.gen_id, draft.gen_id, evaluation.gen_id)
    assert problems_of(root) == [
        "selected_essays.txt:2: there is no such essay in the store (found 'e_unheard'); "
        "allowed: ids of essays in gens/essay",
        f"selected_essays.txt:4: this id belongs to another stage: draft (found '{draft.gen_id}'); "
        "allowed: ids of essays; this one belongs into selected_drafts.txt",
        f"selected_essays.txt:5: this id belongs to another stage: evaluation (found '{evaluation.gen_id}'); "
        "allowed: ids of essays",
    ]


def test_two_selection_files_are_one_too_many(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays(first_essay(base).gen_id)
    root.select_drafts(base.members[0].gen_id)
    assert problems_of(root) == [
        f"selected_drafts.txt: there is {root.paths.selected_essays}, too; "
        "allowed: one of the two; delete or rename the other"
    ]


def test_errors_of_the_grammar_name_the_file_and_the_line(root: DataRoot, base: CohortPlan) -> None:
    root.write(root.paths.selected_drafts, "\ufeff# mode: evaluation-only\r\nd_1\r\n")
    assert problems_of(root) == [
        "selected_drafts.txt:1: drafts cannot be selected with this mode (found 'evaluation-only'); "
        "allowed: reuse-drafts, regenerate"
    ]


def test_an_essay_whose_draft_is_gone_is_told(root: DataRoot, base: CohortPlan) -> None:
    essay = first_essay(base)
    shutil.rmtree(root.store.folder(Stage.DRAFT, essay.parent_gen_id))
    root.select_essays("# mode: reuse-essays", essay.gen_id)
    assert problems_of(root) == [
        f"selected_essays.txt:2: the essay names the draft '{essay.parent_gen_id}' as its parent, which is not in the "
        f"store (found '{essay.gen_id}'); allowed: essays whose draft is stored; remove the line or restore the draft"
    ]


def test_what_cannot_be_made_again_is_told(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays(first_essay(base).gen_id)
    root.write_templates(Stage.DRAFT, {"other": "{{ concepts }}"})
    root.write_templates(Stage.ESSAY, {"other": "{{ draft_block }}"})
    root.write_models(writers=["other"], judges=["judge"])
    root.write_concepts(["flywheel", "mind-wandering"])
    assert problems_of(root) == [
        "selected_essays.txt:1: its template has no row in essay_templates.csv (found 'narrative')",
        "selected_essays.txt:1: its model has no row in llm_models.csv (found 'writer')",
        "selected_essays.txt:1: its draft's template has no row in draft_templates.csv (found 'notes')",
        "selected_essays.txt:1: a concept of its draft has no row in concepts_metadata.csv (found 'economic-moat')",
    ]
    root.paths.combo_registry_csv.unlink()
    assert "its draft's combination is not in combo_mappings.csv" in problems_of(root)[-1]


def test_what_is_only_reused_needs_none_of_the_inputs_it_was_made_with(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays("# mode: reuse-essays", first_essay(base).gen_id)
    root.write_templates(Stage.DRAFT, {"other": "{{ concepts }}"})
    root.write_models(writers=[], judges=["judge"])
    root.write_concepts(["flywheel"])
    root.paths.combo_registry_csv.unlink()
    plan = root.build()
    assert len(plan.members) == 4
    assert plan.notes[-1].startswith("1 combinations are in no table, so their drafts cannot be made again: combo_v1_")


def test_settings_that_make_no_combination_do_not_hinder_a_selection(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays("# mode: reuse-essays", first_essay(base).gen_id)
    root.paths.combo_registry_csv.unlink()
    assert len(root.plan(k_max=9).members) == 4


def test_a_selection_needs_active_judges(root: DataRoot, base: CohortPlan) -> None:
    root.select_essays("# mode: reuse-essays", first_essay(base).gen_id)
    root.write_models(writers=["writer"], judges=[])
    with pytest.raises(ConfigurationError, match="none of: model for_evaluation"):
        root.plan()


# Damage and age -----------------------------------------------------------------------------------------------------
def test_unreadable_metadata_elsewhere_is_passed_over_and_told(root: DataRoot, base: CohortPlan) -> None:
    essay = first_essay(base)
    evaluation = next(m for m in base.members if m.stage is Stage.EVALUATION and m.parent_gen_id == essay.gen_id)
    (root.store.folder(Stage.EVALUATION, evaluation.gen_id) / "metadata.json").write_text("{")
    root.select_essays("# mode: reuse-essays", essay.gen_id)
    plan = root.build()
    # Nobody can say what lies under replicate 1, so that number is not given out.
    assert replicates_of(plan, Stage.EVALUATION) == [2, 2]
    assert plan.notes[-1] == (
        f"1 stored generations have unreadable metadata and were passed over: {evaluation.gen_id}."
    )


def test_unreadable_metadata_of_a_selected_generation_is_an_error_of_its_line(root: DataRoot, base: CohortPlan) -> None:
    essay = first_essay(base)
    (root.store.folder(Stage.ESSAY, essay.gen_id) / "metadata.json").write_text("{")
    root.select_essays(essay.gen_id)
    (problem,) = problems_of(root)
    assert problem.startswith("selected_essays.txt:1: its metadata cannot be read: ")


def test_essays_of_older_versions_are_completed_from_their_drafts(root: DataRoot, base: CohortPlan) -> None:
    draft = base.members[0]
    root.write(
        root.store.folder(Stage.ESSAY, "older16charactersx") / "metadata.json",
        json.dumps({"essay_template": "narrative", "parent_gen_id": draft.gen_id, "cohort_id": "cohort-of-old"}),
    )
    root.select_essays("# mode: reuse-essays", "older16charactersx")
    essay = of_stage(root.build().members, Stage.ESSAY)[0]
    assert (essay.gen_id, essay.combo_id, essay.llm_model_id, essay.replicate) == (
        "older16charactersx",
        draft.combo_id,
        "writer",
        1,
    )
