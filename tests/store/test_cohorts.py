from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.data_root import DataRoot, of_stage

from daydreaming_dagster.domain.errors import ConfigurationError, InputErrors, MembershipError, StoreError
from daydreaming_dagster.domain.membership import MEMBERSHIP_COLUMNS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cohort_files import find_current_cohort_id, iter_cohort_ids, read_cohort
from daydreaming_dagster.store.cohorts import write_cohort
from daydreaming_dagster.store.combinations import read_combo_registry
from daydreaming_dagster.store.generations import GenerationMetadata


def make_older(root: DataRoot, cohort_id: str) -> None:
    """Sets a cohort's time back, so that a test need not wait for the clock."""
    os.utime(root.paths.manifest(cohort_id), ns=(1, 1))


# Building -----------------------------------------------------------------------------------------------------------
def test_planning_writes_nothing(root: DataRoot) -> None:
    plan = root.plan()
    assert [len(of_stage(plan.members, stage)) for stage in Stage] == [3, 3, 6]
    assert sorted(path.name for path in root.paths.root.iterdir()) == ["1_raw"]


def test_what_was_planned_is_what_is_read(root: DataRoot) -> None:
    plan = root.plan()
    assert write_cohort(root.paths, plan, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    cohort = read_cohort(root.paths, plan.cohort_id)
    assert list(cohort.members) == list(plan.members)
    assert cohort.combinations == plan.combinations == read_combo_registry(root.paths)
    assert cohort.manifest["created_at"] == "2026-01-02T00:00:00+00:00"
    assert cohort.manifest["counts"] == {"draft": 3, "essay": 3, "evaluation": 6}
    table = root.paths.membership(plan.cohort_id).read_text().splitlines()
    assert table[0] == "stage,gen_id,cohort_id,parent_gen_id,combo_id,template_id,llm_model_id,replicate,mode"
    assert [line.split(",")[0] for line in table[1:]] == ["draft"] * 3 + ["essay"] * 3 + ["evaluation"] * 6


def test_building_an_unchanged_cohort_again_is_no_change_on_disk(root: DataRoot) -> None:
    first = root.build()
    files = [
        root.paths.manifest(first.cohort_id),
        root.paths.membership(first.cohort_id),
        root.paths.combo_registry_csv,
    ]
    before = [path.read_bytes() for path in files]
    again = root.plan()
    assert again.unchanged
    assert (again.cohort_id, list(again.members)) == (first.cohort_id, list(first.members))
    assert again.notes == []
    assert not write_cohort(root.paths, again)
    assert [path.read_bytes() for path in files] == before


def test_another_order_of_rows_is_the_same_cohort(root: DataRoot) -> None:
    first = root.build()
    root.write_concepts(reversed(["mind-wandering", "economic-moat", "flywheel"]))
    again = root.plan()
    assert again.unchanged
    assert again.cohort_id == first.cohort_id
    # The order in which prompts show the concepts stays the one that its drafts were made with.
    assert again.combinations == first.combinations


@pytest.mark.parametrize("damage", ["delete", "cut", "edit"])
def test_a_membership_that_was_damaged_is_built_again(root: DataRoot, damage: str) -> None:
    first = root.build()
    path = root.paths.membership(first.cohort_id)
    content = path.read_text()
    damaged = {"cut": content[:200], "edit": "".join(content.splitlines(keepends=True)[:-1])}
    path.unlink() if damage == "delete" else path.write_text(damaged[damage])
    again = root.build()
    assert not again.unchanged
    assert again.notes == [
        f"The membership of '{first.cohort_id}' was edited, damaged or lost since; it is built again."
    ]
    assert path.read_text() == content
    assert root.plan().unchanged


def test_a_damaged_manifest_is_written_again(root: DataRoot) -> None:
    first = root.build()
    root.paths.manifest(first.cohort_id).write_text("{")
    with pytest.raises(StoreError):
        read_cohort(root.paths, first.cohort_id)
    root.build()
    assert list(read_cohort(root.paths, first.cohort_id).members) == list(first.members)


def test_an_edited_template_is_the_same_cohort_and_is_told(root: DataRoot) -> None:
    first = root.build()
    root.write(root.paths.template(Stage.ESSAY, "narrative"), "Another one: {{ draft_block }}")
    root.write(root.paths.concept_description("paragraph", "flywheel"), "Other words.")
    for again in (root.build(), root.build()):
        assert again.unchanged
        assert again.notes == [
            f"Since '{first.cohort_id}' was built: The text of the essay template 'narrative' was edited.",
            f"Since '{first.cohort_id}' was built: The paragraph of the concept 'flywheel' was edited.",
        ]


def test_what_is_not_active_makes_another_cohort_and_the_first_stays(root: DataRoot) -> None:
    first = root.build()
    root.write_templates(Stage.EVALUATION, {"novelty": "{{ response }}"})
    second = root.build()
    assert second.cohort_id != first.cohort_id
    assert [len(of_stage(second.members, stage)) for stage in Stage] == [3, 3, 3]
    assert len(read_cohort(root.paths, first.cohort_id).members) == 12


def test_what_is_missing_for_a_cohort_is_told_in_one_go(root: DataRoot) -> None:
    root.write_templates(Stage.ESSAY, {"narrative": "{{ draft_block }}"}, active="no")
    root.write_models(writers=["writer"], judges=[])
    with pytest.raises(ConfigurationError) as caught:
        root.plan()
    assert caught.value.what.endswith("there is none of: essay template, model for_evaluation.")


def test_a_cohort_that_would_fill_the_memory_is_refused(root: DataRoot) -> None:
    root.write_replicates(100, 100, 100)
    with pytest.raises(ConfigurationError) as caught:
        root.plan()
    assert "The cohort would have 6,030,300 generations from 3 combinations" in caught.value.what


def test_a_draft_template_that_cannot_show_these_concepts_is_told_before_anything_is_written(root: DataRoot) -> None:
    root.write_templates(Stage.DRAFT, {"notes": "{{ concepts[0].name }}\n{{ concepts[2].name }}"})
    with pytest.raises(ConfigurationError) as caught:
        root.plan()
    assert "(templates/draft/notes.txt:2): list object has no element 2" in caught.value.what
    assert root.plan(k_max=3).members


def test_a_template_that_shows_nothing_of_what_it_is_about_is_told(root: DataRoot) -> None:
    root.write(root.paths.template(Stage.EVALUATION, "novelty"), "How novel is it, from 0 to 9?")
    assert root.plan().notes == [
        "The evaluation template 'novelty' never shows response: all its prompts are the same."
    ]


def test_a_generation_that_lies_where_another_belongs_is_refused(root: DataRoot) -> None:
    draft = root.plan().members[0]
    metadata = GenerationMetadata.of_member(draft._replace(template_id="Notes"))
    root.store.write_metadata(metadata)
    with pytest.raises(MembershipError) as caught:
        root.plan()
    assert f"Two different generations have the id '{draft.gen_id}'" in caught.value.what
    assert f"(draft, {draft.combo_id}, Notes, writer, 1)" in caught.value.what


def test_generations_of_an_older_version_that_say_less_are_no_conflict(root: DataRoot) -> None:
    for member in root.plan().members:
        folder = root.store.folder(member.stage, member.gen_id)
        template_key = {"draft": "draft_template", "essay": "essay_template", "evaluation": "evaluation_template"}
        value = {template_key[member.stage]: member.template_id, "cohort_id": "cohort-of-old"}
        root.write(folder / "metadata.json", json.dumps(value))
    assert len(root.plan().members) == 12


# Names --------------------------------------------------------------------------------------------------------------
def test_a_name_binds_the_cohort_and_follows_the_inputs(root: DataRoot) -> None:
    first = root.build("baseline")
    assert first.cohort_id == "baseline"
    assert {member.cohort_id for member in first.members} == {"baseline"}
    assert root.plan("baseline").unchanged
    root.write_models(writers=["writer", "second"], judges=["judge"])
    again = root.build("baseline")
    assert again.notes == ["Since 'baseline' was built: Generation models added: second."]
    assert len(read_cohort(root.paths, "baseline").members) == 24


def test_a_named_cohort_with_a_computed_id_is_kept_when_the_inputs_have_moved_on(root: DataRoot) -> None:
    first = root.build()
    root.write_models(writers=["second"], judges=["judge"])
    other = root.plan()
    kept = root.build(first.cohort_id)
    assert kept.unchanged
    assert list(kept.members) == list(first.members)
    assert kept.notes == [
        f"'{first.cohort_id}' is kept as it was built, for it was named; the input files now ask for "
        f"'{other.cohort_id}'. Unset DD_COHORT (and the run config's override) to build that one."
    ]


def test_a_name_in_the_form_of_a_computed_id_is_built_with_a_warning(root: DataRoot) -> None:
    plan = root.build("cohort-0123456789ab")
    assert plan.notes[0].startswith("'cohort-0123456789ab' looks like a computed id, but the input files ask for '")
    assert root.plan("cohort-0123456789ab").unchanged


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", "two words", "-x"])
def test_a_name_that_is_no_folder_name_is_refused(root: DataRoot, name: str) -> None:
    with pytest.raises(ConfigurationError):
        root.plan(name)


def test_the_current_cohort_is_the_named_one_or_the_one_built_last(root: DataRoot) -> None:
    assert find_current_cohort_id(root.paths) is None
    first = root.build().cohort_id
    make_older(root, first)
    second = root.build("second").cohort_id
    assert list(iter_cohort_ids(root.paths)) == [second, first]
    assert find_current_cohort_id(root.paths) == second
    assert find_current_cohort_id(root.paths, first) == first
    make_older(root, second)
    root.build()
    assert find_current_cohort_id(root.paths) == first


# Reading ------------------------------------------------------------------------------------------------------------
def test_an_unknown_cohort_is_told_with_those_that_exist(root: DataRoot) -> None:
    with pytest.raises(StoreError, match="None was built yet"):
        read_cohort(root.paths, "cohort-x")
    known = root.build().cohort_id
    with pytest.raises(StoreError) as caught:
        read_cohort(root.paths, "cohort-x")
    assert caught.value.what == f"There is no cohort 'cohort-x' in {root.paths.cohorts}. Known: {known}."
    with pytest.raises(StoreError):
        read_cohort(root.paths, "..")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ":1 is damaged: the column 'stage' is missing."),
        ("stage,cohort_id\n", ":1 is damaged: the column 'gen_id' is missing."),
        (",".join(MEMBERSHIP_COLUMNS) + "\ndraft,d_1,c\n", ":2 is damaged: the row has 3 cells instead of 9."),
        (",".join(MEMBERSHIP_COLUMNS) + "\n\nsonnet,d_1,c,,x,t,m,1,\n", ":3 is damaged: 'sonnet' is no stage."),
        (",".join(MEMBERSHIP_COLUMNS) + "\ndraft,d_1,c,,x,t,m,one,\n", ":2 is damaged: 'one' is no replicate number."),
        ("stage,gen_id\nsonnet,d_1\n", ":2 is damaged: 'sonnet' is no stage."),
        ("stage,gen_id\ndraft\n", ":2 is damaged: the row has 1 cells instead of 2."),
    ],
)
def test_a_damaged_membership_is_one_clear_error(root: DataRoot, content: str, expected: str) -> None:
    path = root.paths.membership("cohort-x")
    root.write(path, content)
    with pytest.raises(StoreError) as caught:
        read_cohort(root.paths, "cohort-x")
    assert caught.value.what == f"{path}{expected}"
    assert caught.value.fix.endswith('daydreaming materialize --select "cohort_id,cohort_membership"')


def test_damaged_combinations_of_a_manifest_are_one_clear_error(root: DataRoot) -> None:
    cohort_id = root.build().cohort_id
    path = root.paths.manifest(cohort_id)
    path.write_text(json.dumps({**json.loads(path.read_text()), "combinations": {"x": {}}}))
    with pytest.raises(StoreError, match="is damaged: its combinations cannot be read"):
        read_cohort(root.paths, cohort_id)


# Cohorts of the reference system ------------------------------------------------------------------------------------
def write_older_cohort(root: DataRoot, columns: tuple[str, ...]) -> str:
    """A cohort as older versions left it: fewer columns, a manifest of another shape, metadata that says the rest."""
    members = root.build("scaffold").members
    for member in members:
        root.store.write_metadata(
            GenerationMetadata.of_member(member._replace(replicate=3 if member.stage is Stage.ESSAY else 1))
        )
    root.write(
        root.paths.membership("cohort-0123456789ab"),
        "\n".join([",".join(columns), *(",".join(str(getattr(row, name)) for name in columns) for row in members)])
        + "\n",
    )
    root.write(root.paths.manifest("cohort-0123456789ab"), '{"combos": ["x"], "llms": {}}')
    return "cohort-0123456789ab"


@pytest.mark.parametrize("columns", [MEMBERSHIP_COLUMNS[:7], ("stage", "gen_id"), ("gen_id", "template_id", "stage")])
def test_a_cohort_with_fewer_columns_is_completed_from_the_metadata(root: DataRoot, columns: tuple[str, ...]) -> None:
    cohort = read_cohort(root.paths, write_older_cohort(root, columns))
    expected = read_cohort(root.paths, "scaffold")
    for row, like in zip(cohort.members, expected.members, strict=True):
        assert row.signature()[:-1] == like.signature()[:-1]
        assert row.replicate == (3 if row.stage is Stage.ESSAY else 1)
        assert (row.gen_id, row.combo_id, row.llm_model_id) == (like.gen_id, like.combo_id, like.llm_model_id)
    assert cohort.combinations == expected.combinations


def test_an_older_cohort_is_used_and_never_built_over(root: DataRoot) -> None:
    cohort_id = write_older_cohort(root, MEMBERSHIP_COLUMNS[:7])
    before = root.paths.membership(cohort_id).read_bytes()
    plan = root.build(cohort_id)
    assert plan.unchanged
    assert plan.notes[0].startswith(f"'{cohort_id}' is kept as it was built")
    assert root.paths.membership(cohort_id).read_bytes() == before
    root.paths.manifest(cohort_id).unlink()
    assert root.build(cohort_id).unchanged
    assert find_current_cohort_id(root.paths) == cohort_id
    assert root.paths.membership(cohort_id).read_bytes() == before


def test_a_disk_that_refuses_is_told_and_leaves_no_half_cohort(root: DataRoot, tmp_path: Path) -> None:
    plan = root.plan()
    root.write(root.paths.cohorts, "a file where the folder should be")
    with pytest.raises(StoreError):
        write_cohort(root.paths, plan)
    assert root.paths.cohorts.is_file()


def test_input_errors_come_before_anything_is_written(root: DataRoot) -> None:
    root.write(root.paths.selected_combos_csv, "combo_id,concept_id,description_level,k_max\nx,unknown,paragraph,1\n")
    with pytest.raises(InputErrors):
        root.build()
    assert not root.paths.cohorts.exists()
