"""A stage's assets by partition: one, a range, again, and when they fail."""

from __future__ import annotations

import json

import pytest
from dagster import AssetKey
from tests.dagster.scene import Scene, tell_failure

from daydreaming_dagster.domain.stages import STEPS, Stage
from daydreaming_dagster.store.paths import PARSED, PROMPT, RAW

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def of(stage: Stage) -> list[str]:
    return [f"{stage}_{step}" for step in STEPS]


def test_a_lineage_can_be_made_stage_by_stage(scene: Scene) -> None:
    scene.build_cohort()
    for stage in Stage:
        gen_id = scene.of_stage(stage)[0]
        assert scene.materialize(of(stage), partition=gen_id).success
        assert scene.materialized(f"{stage}_parsed") == {gen_id}


def test_metadata_shows_texts_tokens_cost_and_whether_it_was_reused(scene: Scene) -> None:
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[0]
    assert scene.materialize(of(Stage.DRAFT), partition=draft).success
    raw = scene.metadata("draft_raw", draft)
    assert raw["reused"] is False
    assert raw["finish_reason"] == "stop"
    assert raw["prompt_tokens"] > 0
    assert raw["completion_tokens"] > 0
    assert raw["cost_usd"] == 0
    assert raw["duration_s"] >= 0
    assert scene.root.store.find_raw(Stage.DRAFT, draft) in raw["preview"]
    assert "About " in scene.metadata("draft_prompt", draft)["preview"]


def test_materializing_again_reuses_the_response_until_the_request_changes(scene: Scene) -> None:
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[0]
    for _ in range(2):
        assert scene.materialize(of(Stage.DRAFT), partition=draft).success
    assert scene.metadata("draft_raw", draft)["reused"] is True
    scene.root.write_templates(Stage.DRAFT, {"notes": "Other words. {{ concepts[0].content }}"})
    assert scene.materialize(of(Stage.DRAFT), partition=draft).success
    assert scene.metadata("draft_raw", draft)["reused"] is False
    assert len(scene.root.store.versions(Stage.DRAFT, draft)) == 1


def test_an_essay_without_its_draft_fails_with_paths_and_a_command(scene: Scene) -> None:
    scene.build_cohort()
    essay = scene.members[3]
    told = tell_failure(scene.materialize(["essay_prompt"], partition=essay.gen_id))
    assert f"Missing parent draft parsed.txt for essay gen_id '{essay.gen_id}'" in told
    assert "Base directory exists: False" in told
    assert f'--partition "{essay.parent_gen_id}"' in told


@pytest.mark.parametrize("parent", ["", "e_gone"])
def test_a_row_whose_parent_the_cohort_does_not_have_is_told_before_any_file_is_read(scene: Scene, parent: str) -> None:
    scene.build_cohort()
    judged = scene.members[-1]
    path = scene.root.paths.membership(judged.cohort_id)
    cell = f",{judged.cohort_id},{judged.parent_gen_id},"
    path.write_text(path.read_text().replace(cell, f",{judged.cohort_id},{parent},"))
    expected = f"Invalid parent_gen_id referenced by evaluation '{judged.gen_id}': '{parent}'"
    told = tell_failure(scene.materialize(["evaluation_prompt"], partition=judged.gen_id))
    assert expected in told
    assert 'daydreaming materialize --select "cohort_id,cohort_membership"' in told
    assert "Invalid parent_gen_id referenced by evaluation" in tell_failure(scene.make(stages=["evaluation"])[0])
    assert scene.build_cohort(), "the command of the message restores the membership"
    assert "Missing parent essay" in tell_failure(scene.materialize(["evaluation_prompt"], partition=judged.gen_id))


def test_a_partition_of_no_cohort_is_told_as_stale(scene: Scene) -> None:
    scene.build_cohort()
    scene.instance.add_dynamic_partitions("draft_gens", ["d_by_hand"])
    told = tell_failure(scene.materialize(["draft_prompt"], partition="d_by_hand"))
    assert "'d_by_hand' not found in the membership of any cohort" in told


def test_a_draft_that_is_too_short_keeps_its_response(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_DRAFT_MIN_LINES", "1000")
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[0]
    told = tell_failure(scene.materialize(of(Stage.DRAFT), partition=draft))
    assert "needs at least 1000" in told
    folder = scene.root.paths.generation(Stage.DRAFT, draft)
    assert (folder / RAW).exists()
    assert not (folder / PARSED).exists()


def test_a_range_of_partitions_is_one_run_with_metadata_of_its_own_for_each(scene: Scene) -> None:
    scene.build_cohort()
    drafts = scene.of_stage(Stage.DRAFT)
    assert scene.materialize(of(Stage.DRAFT), tags=dict(zip(RANGE, (drafts[0], drafts[2]), strict=True))).success
    assert scene.materialized("draft_parsed") == set(drafts)
    previews = {scene.metadata("draft_parsed", draft)["preview"] for draft in drafts}
    assert len(previews) == len(drafts)
    assert scene.metadata("draft_raw", drafts[1])["gen_id"] == drafts[1]


def test_of_many_what_succeeded_is_recorded_and_what_failed_is_named(scene: Scene) -> None:
    scene.build_cohort()
    drafts, essays = scene.of_stage(Stage.DRAFT), scene.of_stage(Stage.ESSAY)
    assert scene.materialize(of(Stage.DRAFT), partition=drafts[1]).success
    result = scene.materialize(["essay_prompt"], tags=dict(zip(RANGE, (essays[0], essays[-1]), strict=True)))
    assert "2 of 3 generations failed; the others are stored and recorded." in tell_failure(result)
    made = scene.materialized("essay_prompt")
    assert made == {member.gen_id for member in scene.members if member.parent_gen_id == drafts[1]} & set(essays)
    storage = scene.instance.event_log_storage
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        AssetKey("essay_prompt")
    )
    assert set(attempts) == set(essays) - made


def test_the_experiment_of_the_run_is_in_the_metadata_of_what_it_makes(scene: Scene) -> None:
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[0]
    assert scene.materialize(of(Stage.DRAFT), partition=draft, tags={"experiment_id": "exp_1"}).success
    stored = json.loads((scene.root.paths.generation(Stage.DRAFT, draft) / "metadata.json").read_text())
    assert stored["experiment_id"] == "exp_1"


def test_prompts_alone_call_nobody(scene: Scene) -> None:
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[0]
    assert scene.materialize(["draft_prompt"], partition=draft).success
    folder = scene.root.paths.generation(Stage.DRAFT, draft)
    assert (folder / PROMPT).exists()
    assert not (folder / RAW).exists()
