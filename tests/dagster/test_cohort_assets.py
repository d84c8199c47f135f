"""The cohort's assets: any of them alone or together, names that bind, partitions that follow."""

from __future__ import annotations

import shutil

import pytest
from sqlalchemy.exc import IntegrityError
from tests.dagster.scene import FIVE, PAIR, Scene, tell_failure

from daydreaming_dagster.domain.stages import Stage


def test_the_pair_alone_makes_cohort_and_partitions(scene: Scene) -> None:
    assert scene.materialize(PAIR).success
    for stage in Stage:
        assert scene.partitions(stage) == scene.of_stage(stage)
        assert scene.partitions(stage)


def test_the_five_together_and_again_change_nothing(scene: Scene) -> None:
    assert scene.materialize(FIVE).success
    first = scene.members
    manifest = scene.root.paths.manifest(first[0].cohort_id).read_text()
    assert scene.materialize(FIVE).success
    assert scene.members == first
    assert scene.root.paths.manifest(first[0].cohort_id).read_text() == manifest
    assert scene.metadata("cohort_id")["unchanged"] is True
    assert scene.metadata("register_cohort_partitions")["added_drafts"] == 0


def test_cohort_pair_and_combinations_together(scene: Scene) -> None:
    assert scene.materialize([*PAIR, "content_combinations"]).success
    assert "About mind-wandering." in scene.metadata("content_combinations")["first_texts"]


@pytest.mark.parametrize("name", FIVE[2:])
def test_each_asset_alone_works_once_there_is_a_cohort(scene: Scene, name: str) -> None:
    scene.build_cohort()
    assert scene.materialize([name]).success


def test_partitions_that_another_process_registers_meanwhile_are_no_failure(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = scene.instance.add_dynamic_partitions

    def add_second(name: str, keys: list[str]) -> None:
        monkeypatch.setattr(scene.instance, "add_dynamic_partitions", add)
        add(name, keys[:1])  # the other process, after this one has looked and before it writes
        raise IntegrityError("INSERT INTO dynamic_partitions", None, ValueError("UNIQUE constraint failed"))

    monkeypatch.setattr(scene.instance, "add_dynamic_partitions", add_second)
    assert scene.materialize(PAIR).success
    for stage in Stage:
        assert set(scene.partitions(stage)) == set(scene.of_stage(stage))


def test_membership_without_a_cohort_says_how_to_make_one(scene: Scene) -> None:
    told = tell_failure(scene.materialize(["cohort_membership"]))
    assert "There is no cohort" in told
    assert 'daydreaming materialize --select "cohort_id,cohort_membership"' in told


def test_run_config_names_the_cohort_before_the_environment_does(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_COHORT", "from-environment")
    assert scene.materialize(FIVE, ops={"cohort_id": {"config": {"override": "from-config"}}}).success
    assert [folder.name for folder in scene.root.paths.cohorts.iterdir()] == ["from-config"]
    assert scene.metadata("cohort_membership")["cohort_id"] == "from-config"
    assert scene.metadata("register_cohort_partitions")["cohort_id"] == "from-config"


def test_the_environment_names_the_cohort(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.build_cohort()
    monkeypatch.setenv("DD_COHORT", "pilot")
    assert scene.materialize(PAIR).success
    assert scene.metadata("cohort_membership")["cohort_id"] == "pilot"


def test_partitions_of_other_cohorts_stay_and_stale_ones_of_the_same_are_pruned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {member.gen_id for member in scene.build_cohort()}
    monkeypatch.setenv("DD_COHORT", "mine")
    scene.root.write_concepts(["stigmergy", "economic-moat", "mind-wandering"])
    first = {member.gen_id for member in scene.build_cohort()}
    scene.root.write_concepts(["stigmergy", "economic-moat", "tacit-knowledge"])
    second = {member.gen_id for member in scene.build_cohort()}
    known = {gen_id for stage in Stage for gen_id in scene.partitions(stage)}
    assert known == other | second
    assert first - other - second
    assert scene.metadata("cohort_membership")["pruned"] == len(first - other - second)


def test_partitions_of_a_cohort_whose_folder_is_gone_are_pruned(scene: Scene) -> None:
    old = {member.gen_id for member in scene.build_cohort()}
    shutil.rmtree(scene.root.paths.cohorts)
    scene.root.write_concepts(["stigmergy", "tacit-knowledge"])
    new = {member.gen_id for member in scene.build_cohort()}
    assert {gen_id for stage in Stage for gen_id in scene.partitions(stage)} == new
    assert not new & old


def test_a_selection_file_decides_and_the_table_of_combinations_is_left_alone(scene: Scene) -> None:
    members = scene.root.run(lambda _: "SCORE: 5")
    table = scene.root.paths.selected_combos_csv
    scene.root.select_essays("# mode: reuse-essays", members[3].gen_id)
    assert scene.materialize(FIVE).success
    assert not table.exists()
    assert "selected_essays.txt" in scene.metadata("selected_combo_mappings")["decided_by"]
    assert scene.of_stage(Stage.ESSAY) == [members[3].gen_id]


def test_mistakes_in_the_inputs_are_told_all_at_once_with_their_places(scene: Scene) -> None:
    scene.root.write(scene.root.paths.concepts_csv, "concept_id,name,active\na,A,perhaps\nb,B,maybe\n")
    told = tell_failure(scene.materialize(PAIR))
    assert "concepts_metadata.csv:2, column active" in told
    assert "concepts_metadata.csv:3, column active" in told


def test_the_tag_of_an_experiment_stashes_what_is_active(scene: Scene) -> None:
    assert scene.materialize(PAIR, tags={"experiment_id": "exp_1"}).success
    assert (scene.root.paths.experiments / "exp_1" / "active_concepts.csv").is_file()


def test_somebody_without_a_dagster_home_is_warned(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    result = scene.materialize(PAIR)
    told = [entry.user_message for entry in scene.instance.all_logs(result.run_id)]
    assert any("DAGSTER_HOME is not set" in message for message in told)
