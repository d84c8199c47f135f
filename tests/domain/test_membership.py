from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.errors import MembershipError
from daydreaming_dagster.domain.ids import compute_draft_gen_id, compute_essay_gen_id, compute_evaluation_gen_id
from daydreaming_dagster.domain.membership import (
    Axes,
    Cohort,
    build_cartesian_members,
    build_draft,
    build_essay,
    find_with_ancestors,
    find_with_descendants,
    require_distinct_ids,
    require_valid_parents,
)
from daydreaming_dagster.domain.stages import Stage

names = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=1, max_size=2, unique=True).map(tuple)
axes_of_any_size = st.builds(
    Axes,
    draft_templates=names,
    essay_templates=names,
    evaluation_templates=names,
    generation_models=names,
    evaluation_models=names,
    replicates=st.fixed_dictionaries({stage: st.integers(1, 2) for stage in Stage}),
)


def small_axes() -> Axes:
    return Axes(("notes",), ("narrative",), ("novelty",), ("writer",), ("judge",), dict.fromkeys(Stage, 1))


@given(names, axes_of_any_size)
def test_a_cartesian_cohort_is_every_combination_of_everything(combo_ids: tuple[str, ...], axes: Axes) -> None:
    members = build_cartesian_members("cohort-x", combo_ids, axes)
    drafts = [m for m in members if m.stage is Stage.DRAFT]
    essays = [m for m in members if m.stage is Stage.ESSAY]
    evaluations = [m for m in members if m.stage is Stage.EVALUATION]
    per_draft = len(axes.essay_templates) * axes.replicates[Stage.ESSAY]
    per_essay = len(axes.evaluation_templates) * len(axes.evaluation_models) * axes.replicates[Stage.EVALUATION]
    assert len(drafts) == (
        len(combo_ids) * len(axes.draft_templates) * len(axes.generation_models) * axes.replicates[Stage.DRAFT]
    )
    assert (len(essays), len(evaluations)) == (len(drafts) * per_draft, len(drafts) * per_draft * per_essay)
    assert members == [*drafts, *essays, *evaluations]
    assert len({member.gen_id for member in members}) == len(members)
    require_distinct_ids(members)
    require_valid_parents(members)


@given(names, axes_of_any_size)
def test_every_id_follows_from_its_own_row(combo_ids: tuple[str, ...], axes: Axes) -> None:
    for m in build_cartesian_members("cohort-x", combo_ids, axes):
        expected = {
            Stage.DRAFT: lambda m=m: compute_draft_gen_id(m.combo_id, m.template_id, m.llm_model_id, m.replicate),
            Stage.ESSAY: lambda m=m: compute_essay_gen_id(m.parent_gen_id, m.template_id, m.replicate),
            Stage.EVALUATION: lambda m=m: compute_evaluation_gen_id(
                m.parent_gen_id, m.template_id, m.llm_model_id, m.replicate
            ),
        }[m.stage]()
        assert m.gen_id == expected


def test_the_ids_of_the_format_description() -> None:
    draft = build_draft("cohort-x", "cartesian", "combo-1", "draft-A", "gen-model", replicate=1)
    essay = build_essay(draft, "essay-X", 1)
    assert (draft.gen_id, essay.gen_id, essay.llm_model_id) == (
        "d_21hnyjluy35totlo",
        "e_2n6ko9fgp89xemwt",
        "gen-model",
    )


def test_two_names_that_differ_in_case_only_cannot_be_in_one_cohort() -> None:
    members = build_cartesian_members("cohort-x", ["Combo", "combo"], small_axes())
    with pytest.raises(MembershipError) as caught:
        require_distinct_ids(members)
    assert f"have the id '{members[0].gen_id}'" in caught.value.what
    assert "(draft, Combo, notes, writer, 1) and (draft, combo, notes, writer, 1)" in caught.value.what


@pytest.mark.parametrize("parent_gen_id", ["", "d_unknown"])
def test_a_row_without_its_parent_is_named_with_the_parent_it_wants(parent_gen_id: str) -> None:
    draft, essay, evaluation = build_cartesian_members("cohort-x", ["combo"], small_axes())
    with pytest.raises(MembershipError) as caught:
        require_valid_parents([draft, essay._replace(parent_gen_id=parent_gen_id), evaluation])
    assert str(caught.value) == (
        f"Invalid parent_gen_id referenced by essay '{essay.gen_id}': '{parent_gen_id}'. "
        "Cohort 'cohort-x' has no such draft.\n"
        "  → Check the selection and the input files, then rebuild the cohort: "
        'daydreaming materialize --select "cohort_id,cohort_membership"'
    )


def test_a_parent_of_the_wrong_stage_is_no_parent() -> None:
    draft, essay, evaluation = build_cartesian_members("cohort-x", ["combo"], small_axes())
    with pytest.raises(MembershipError):
        require_valid_parents([draft, essay, evaluation._replace(parent_gen_id=draft.gen_id)])


def test_a_cohort_knows_the_parents_of_its_members() -> None:
    draft, essay, evaluation = members = build_cartesian_members("cohort-x", ["combo"], small_axes())
    cohort = Cohort("cohort-x", {}, members, {})
    assert cohort.require_parent(evaluation) is essay
    assert cohort.require_parent(essay) is draft
    with pytest.raises(MembershipError, match="Invalid parent_gen_id referenced by evaluation"):
        cohort.require_parent(evaluation._replace(parent_gen_id=draft.gen_id))


def test_a_lineage_reaches_up_to_the_draft_and_down_to_every_evaluation() -> None:
    members = build_cartesian_members("cohort-x", ("one", "two"), small_axes())
    drafts, essays, evaluations = ([m.gen_id for m in members if m.stage is stage] for stage in Stage)
    assert find_with_ancestors(members, evaluations[0]) == {drafts[0], essays[0], evaluations[0]}
    assert find_with_descendants(members, [essays[1]]) == {essays[1], evaluations[1]}
    assert find_with_descendants(members, drafts) == {m.gen_id for m in members}
    assert find_with_descendants(members, []) == set()
