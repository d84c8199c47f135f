"""The bulk run: everything, some stages, some steps, one lineage, and what Dagster knows afterwards."""

from __future__ import annotations

import pytest
from tests.dagster.scene import Scene, tell_failure

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.paths import PARSED, PROMPT, RAW

FULL = ["prompt", "raw", "parsed"]


def stored(scene: Scene, stage: Stage, name: str) -> set[str]:
    return {path.parent.name for path in scene.root.paths.stage(stage).glob(f"*/{name}")}


def test_everything_is_made_and_recorded_and_a_second_run_makes_nothing(scene: Scene) -> None:
    scene.build_cohort()
    result, board = scene.make()
    assert result.success
    for stage in Stage:
        assert stored(scene, stage, PARSED) == set(scene.of_stage(stage))
        for step in FULL:
            assert scene.materialized(f"{stage}_{step}") == set(scene.of_stage(stage))
    again, board = scene.make()
    assert again.success
    assert board.plan is not None
    assert board.plan.size == 0
    assert board.progress.calls == 0


def test_a_missing_key_is_told_before_anything_runs(scene: Scene) -> None:
    scene.build_cohort()
    scene.root.paths.endpoints_csv.write_text(
        "endpoint,kind,base_url,api_key_env\nopenrouter,openai,http://127.0.0.1:1/v1,A_KEY_THAT_NOBODY_SET\n"
    )
    result, board = scene.make(stages=["draft"])
    assert not result.success
    assert "A_KEY_THAT_NOBODY_SET" in tell_failure(result)
    assert board.report is None
    assert not stored(scene, Stage.DRAFT, PROMPT)


def test_only_the_stages_that_are_named(scene: Scene) -> None:
    scene.build_cohort()
    assert scene.make(stages=["draft", "essay"])[0].success
    assert stored(scene, Stage.ESSAY, PARSED) == set(scene.of_stage(Stage.ESSAY))
    assert not stored(scene, Stage.EVALUATION, RAW)


def test_prompts_are_written_for_what_can_have_one_and_the_others_wait(scene: Scene) -> None:
    scene.build_cohort()
    result, board = scene.make(stages=["draft", "essay"], steps=["prompt"])
    assert result.success
    assert stored(scene, Stage.DRAFT, PROMPT) == set(scene.of_stage(Stage.DRAFT)) == scene.materialized("draft_prompt")
    assert not stored(scene, Stage.DRAFT, RAW)
    assert board.waiting == len(scene.of_stage(Stage.ESSAY))
    assert board.progress.calls == 0


def test_responses_alone_are_fetched_once_and_read_later_for_free(scene: Scene) -> None:
    scene.build_cohort()
    result, board = scene.make(stages=["draft"], steps=["raw"])
    assert result.success
    assert board.progress.calls == 3
    assert not stored(scene, Stage.DRAFT, PARSED)
    _, board = scene.make(stages=["draft"], steps=["raw"])
    assert board.progress.calls == 0
    result, board = scene.make(stages=["draft"], steps=["parsed"])
    assert result.success
    assert len(board.results["parsed"]) == 3
    assert stored(scene, Stage.DRAFT, PARSED) == set(scene.of_stage(Stage.DRAFT))


def test_a_drafts_lineage_is_the_draft_and_what_follows_as_far_as_selected(scene: Scene) -> None:
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[1]
    assert scene.make(stages=["draft", "essay"], lineage_of=draft)[0].success
    assert stored(scene, Stage.DRAFT, PARSED) == {draft}
    assert stored(scene, Stage.ESSAY, PARSED) == {
        member.gen_id for member in scene.members if member.parent_gen_id == draft
    }
    assert not stored(scene, Stage.EVALUATION, RAW)


def test_an_evaluations_lineage_makes_what_is_missing_above_it_and_nothing_beside_it(scene: Scene) -> None:
    scene.build_cohort()
    judged = scene.members[-1]
    assert scene.make(lineage_of=judged.gen_id)[0].success
    assert stored(scene, Stage.EVALUATION, PARSED) == {judged.gen_id}
    assert stored(scene, Stage.ESSAY, PARSED) == {judged.parent_gen_id}
    _, board = scene.make(lineage_of=judged.gen_id)
    assert board.progress.calls == 0
    assert board.plan is not None
    assert board.plan.done.total() == 2, "draft and essay are there and are left alone"


@pytest.mark.parametrize("config", [{"stages": ["drafts"]}, {"steps": ["parse"]}])
def test_a_stage_or_step_that_does_not_exist_is_named(scene: Scene, config: dict[str, list[str]]) -> None:
    scene.build_cohort()
    told = tell_failure(scene.make(**config)[0])
    assert "There is no st" in told
    assert next(iter(config.values()))[0] in told


def test_failures_are_counted_and_lasting_ones_called_again_only_when_they_are_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_DRAFT_MIN_LINES", "1000")
    scene.build_cohort()
    result, board = scene.make(stages=["draft"])
    assert "3 generations failed (3 draft too_short)" in tell_failure(result)
    assert not scene.materialized("draft_parsed")
    assert scene.materialized("draft_raw") == set(scene.of_stage(Stage.DRAFT))
    _, board = scene.make(stages=["draft"])
    assert board.progress.calls == 0
    _, board = scene.make(stages=["draft"], retry=["too_short"])
    assert board.progress.calls == 3


def test_partitions_that_dagster_lost_are_registered_by_the_run(scene: Scene) -> None:
    scene.build_cohort()
    for draft in scene.of_stage(Stage.DRAFT):
        scene.instance.delete_dynamic_partition("draft_gens", draft)
    assert scene.make(stages=["draft"])[0].success
    assert set(scene.partitions(Stage.DRAFT)) == set(scene.of_stage(Stage.DRAFT))


def test_the_experiment_is_stashed_and_named(scene: Scene) -> None:
    scene.build_cohort()
    assert scene.make(tags={"experiment_id": "exp_2"}, stages=["draft"])[0].success
    assert (scene.root.paths.experiments / "exp_2" / "active_draft_templates.csv").is_file()
    metadata = scene.root.store.find_metadata(Stage.DRAFT, scene.of_stage(Stage.DRAFT)[0])
    assert metadata is not None
    assert metadata.experiment_id == "exp_2"
