from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.engine.test_forecast import make_workspace, run_all

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Action, decide
from daydreaming_dagster.engine.reasons import explain, find_first_difference
from daydreaming_dagster.engine.staleness import find_stale
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.index import Index


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path / "data", 2)
    run_all(workspace)
    return workspace


def reopen(workspace: Workspace) -> Workspace:
    return Workspace(workspace.paths, workspace.config)


def members(workspace: Workspace, stage: Stage) -> list[Member]:
    return [member for member in workspace.require_current_cohort().members if member.stage is stage]


def stale_ids(workspace: Workspace) -> dict[str, str]:
    cohort = workspace.require_current_cohort()
    with closing(Index(workspace.store, read_only=True)) as index:
        return {member.gen_id: change.what for member, change in find_stale(workspace.recipe(), cohort.members, index)}


def test_a_done_generation_says_so_and_what_it_cost(workspace: Workspace) -> None:
    (member, _) = members(workspace, Stage.ESSAY)
    reason = explain(workspace.recipe(), member)
    assert (reason.state.status, reason.next_action, reason.changes) == ("done", "nothing", ())


def test_a_missing_one_waits_for_its_parent(workspace: Workspace) -> None:
    (essay, _) = members(workspace, Stage.ESSAY)
    for stage, gen_id in ((Stage.ESSAY, essay.gen_id), (Stage.DRAFT, essay.parent_gen_id)):
        for path in workspace.store.folder(stage, gen_id).iterdir():
            path.unlink()
    reason = explain(workspace.recipe(), essay)
    assert reason.next_action == "wait for its parent"
    assert essay.parent_gen_id in " ".join(reason.because)


def test_nothing_is_stale_after_a_run(workspace: Workspace) -> None:
    assert stale_ids(workspace) == {}


def test_an_edited_template_makes_its_generations_stale_and_names_the_line(workspace: Workspace) -> None:
    path = workspace.paths.template(Stage.ESSAY, "essay")
    path.write_text(path.read_text().replace("Write it out.", "Write it out well."))
    changed = reopen(workspace)
    assert stale_ids(changed) == {
        member.gen_id: "template, line 1 of the prompt" for member in members(workspace, Stage.ESSAY)
    }
    reason = explain(changed.recipe(), members(workspace, Stage.ESSAY)[0])
    assert reason.changes[0].second.endswith("Write it out well.")
    assert "--partition" in reason.fix


def test_another_api_model_or_parameter_is_named_before_the_prompt(workspace: Workspace) -> None:
    path = workspace.paths.models_csv
    path.write_text(path.read_text().replace("fake/judge", "fake/judge-2"))
    found = stale_ids(reopen(workspace))
    assert found == {member.gen_id: "model" for member in members(workspace, Stage.EVALUATION)}


def test_an_edited_draft_makes_its_essay_stale(workspace: Workspace) -> None:
    draft, _ = members(workspace, Stage.DRAFT)
    (workspace.store.folder(Stage.DRAFT, draft.gen_id) / "parsed.txt").write_text("Something else.")
    essays = {member.gen_id for member in members(workspace, Stage.ESSAY) if member.parent_gen_id == draft.gen_id}
    assert stale_ids(workspace) == dict.fromkeys(essays, "its draft's text, line 2 of the prompt")


def test_two_generations_part_ways_at_the_outermost_input_that_differs(workspace: Workspace) -> None:
    first, second = members(workspace, Stage.DRAFT)
    recipe = workspace.recipe()
    difference = find_first_difference(recipe, first, second)
    assert difference is not None
    assert (difference.what, difference.first, difference.second) == ("replicate", "1", "2")
    assert find_first_difference(recipe, first, first) is None


def test_data_of_older_versions_is_not_called_stale_for_what_it_does_not_say(workspace: Workspace) -> None:
    for member in members(workspace, Stage.DRAFT):
        workspace.store.update_raw_metadata(Stage.DRAFT, member.gen_id, {"request_sha256": None})
    assert stale_ids(workspace) == {}


def test_what_was_edited_by_hand_is_told(workspace: Workspace) -> None:
    first, second = members(workspace, Stage.EVALUATION)
    recipe = workspace.recipe()
    (workspace.store.folder(Stage.EVALUATION, first.gen_id) / "parsed.txt").write_text("8.5\n")
    told = explain(recipe, first)
    assert "Its parsed text is not what today's parser makes of the response" in " ".join(told.because)
    assert told.fix == "daydreaming reparse --dry-run"
    (workspace.store.folder(Stage.EVALUATION, second.gen_id) / "raw.txt").write_text("No idea.")
    told = explain(recipe, second)
    assert "Its response was edited after it came." in told.because
    assert "Today's parser would refuse the response" in " ".join(told.because)


def test_a_response_without_a_score_is_read_again_by_a_run_and_nobody_is_called(workspace: Workspace) -> None:
    member = members(workspace, Stage.EVALUATION)[0]
    folder = workspace.store.folder(Stage.EVALUATION, member.gen_id)
    (folder / "parsed.txt").unlink()
    failure = {"reason": "parse_failed", "message": "No score.", "lasting": True}
    workspace.store.update_raw_metadata(Stage.EVALUATION, member.gen_id, {"failure": failure})
    told = explain(workspace.recipe(), member)
    assert told.next_action == "parse again"
    assert "reads the stored response again, which is free, and calls nobody" in " ".join(told.because)
    assert told.fix == "daydreaming run --retry parse_failed"


def test_what_cannot_be_read_may_have_been_paid_for_and_is_called_again_only_when_told_to(workspace: Workspace) -> None:
    member = members(workspace, Stage.EVALUATION)[0]
    folder = workspace.store.folder(Stage.EVALUATION, member.gen_id)
    (folder / "parsed.txt").unlink()
    (folder / "raw_metadata.json").write_text("{")
    told = explain(workspace.recipe(), member)
    assert told.next_action == "nothing"
    assert "is not valid JSON" in " ".join(told.because)
    assert "it may have been paid for" in " ".join(told.because)
    assert told.fix == "daydreaming run --retry store"
    assert decide(told.state, ["store"]) is Action.CALL
