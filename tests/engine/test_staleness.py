from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.engine.test_forecast import make_workspace, run_all

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_run import Choice, find_hints, forecast_cohort_run, plan_cohort_run, run_cohort
from daydreaming_dagster.engine.plan import Action
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunReport
from daydreaming_dagster.engine.staleness import find_stale, group_stale
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.index import Index

STALE = Choice(retry=("stale",))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path / "data", 3)
    run_all(workspace)
    return workspace


def edit(workspace: Workspace, path: Path, old: str, new: str) -> Workspace:
    """The data root after an edit, opened again."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return Workspace(workspace.paths, workspace.config)


def edit_template(workspace: Workspace, stage: Stage) -> Workspace:
    path = workspace.paths.template(stage, "judge" if stage is Stage.EVALUATION else stage.value)
    path.write_text(path.read_text() + "\nBe bold.")
    return Workspace(workspace.paths, workspace.config)


def stale_members(workspace: Workspace) -> list[Member]:
    cohort = workspace.require_current_cohort()
    with closing(Index(workspace.store, read_only=True)) as index:
        return [member for member, _ in find_stale(workspace.recipe(), cohort.members, index)]


def run_stale(workspace: Workspace, choice: Choice = STALE) -> RunReport:
    cohort = workspace.require_current_cohort()
    plan = plan_cohort_run(workspace, cohort, choice)
    return run_cohort(workspace, cohort, plan, RunInfo("run-stale", cohort.cohort_id))


def test_a_run_keeps_what_is_stale_unless_it_is_told_to_make_it_anew(workspace: Workspace) -> None:
    edited = edit_template(workspace, Stage.ESSAY)
    cohort = edited.require_current_cohort()
    assert plan_cohort_run(edited, cohort).size == 0
    plan, forecast = forecast_cohort_run(edited, cohort, STALE)
    assert dict(plan.tasks) == {(Stage.ESSAY, Action.ENSURE): 3, (Stage.EVALUATION, Action.ENSURE): 3}
    assert forecast.calls.expected == pytest.approx(6)
    report = run_stale(edited)
    assert report.progress.made == {Stage.ESSAY: 3, Stage.EVALUATION: 3}
    assert stale_members(edited) == []
    assert run_stale(edited).progress.calls == 0


def test_what_was_stored_is_kept_as_a_version(workspace: Workspace) -> None:
    essay = next(m for m in workspace.require_current_cohort().members if m.stage is Stage.ESSAY)
    before = workspace.store.find_raw(Stage.ESSAY, essay.gen_id)
    run_stale(edit_template(workspace, Stage.ESSAY))
    (version,) = workspace.store.versions(Stage.ESSAY, essay.gen_id)
    assert version.text_path.read_text() == before
    assert workspace.store.find_raw(Stage.ESSAY, essay.gen_id) != before


def test_children_whose_request_stays_the_same_are_not_paid_again(tmp_path: Path) -> None:
    """A parent that is made anew and reads the same leaves the answers to its text as they are."""
    workspace = make_workspace(tmp_path / "one", 1)
    run_all(workspace)
    draft = workspace.require_current_cohort().members[0]
    workspace.store.update_raw_metadata(Stage.DRAFT, draft.gen_id, {"request_sha256": "of other words"})
    workspace.store.update_raw_metadata(Stage.DRAFT, draft.gen_id, {"prompt_sha256": "of other words"})
    report = run_stale(workspace)
    assert report.progress.made == {Stage.DRAFT: 1}
    assert report.progress.reused == {Stage.ESSAY: 1, Stage.EVALUATION: 1}


def test_only_what_is_stale_and_what_follows_from_it_is_touched(workspace: Workspace) -> None:
    draft = next(m for m in workspace.require_current_cohort().members if m.stage is Stage.DRAFT)
    (workspace.store.folder(Stage.DRAFT, draft.gen_id) / "parsed.txt").write_text("Something else.")
    report = run_stale(workspace)
    assert report.progress.made == {Stage.ESSAY: 1, Stage.EVALUATION: 1}


def test_stale_ones_are_grouped_by_what_changed(workspace: Workspace) -> None:
    edited = edit(edit_template(workspace, Stage.ESSAY), workspace.paths.models_csv, "fake/judge", "fake/judge-2")
    with closing(Index(edited.store, read_only=True)) as index:
        groups = group_stale(find_stale(edited.recipe(), edited.require_current_cohort().members, index))
    assert [(group.stage, group.cause, len(group.gen_ids)) for group in groups] == [
        (Stage.ESSAY, "template", 3),
        (Stage.EVALUATION, "model", 3),
    ]


def test_a_plan_says_how_many_are_stale(workspace: Workspace) -> None:
    edited = edit_template(workspace, Stage.EVALUATION)
    cohort = edited.require_current_cohort()
    hints = find_hints(edited, cohort, plan_cohort_run(edited, cohort))
    assert (hints.stale, hints.renamings) == (3, [])


def test_a_renamed_model_is_recognized_by_what_was_asked_of_it(workspace: Workspace) -> None:
    edited = edit(workspace, workspace.paths.models_csv, "\nwriter,", "\nauthor,")
    planned = edited.plan_cohort()
    (renaming,) = find_hints(edited, planned, plan_cohort_run(edited, planned)).renamings
    assert (renaming.stage, renaming.what, renaming.old_id, renaming.new_id) == (
        Stage.DRAFT,
        "model",
        "writer",
        "author",
    )
    assert renaming.count == 3


def test_a_model_that_was_added_beside_another_is_no_renaming(workspace: Workspace) -> None:
    rows = workspace.paths.models_csv.read_text().splitlines()
    twin = next(row for row in rows if row.startswith("writer,")).replace("writer,", "twin,", 1)
    workspace.paths.models_csv.write_text("\n".join([*rows, twin, ""]))
    edited = Workspace(workspace.paths, workspace.config)
    planned = edited.plan_cohort()
    assert find_hints(edited, planned, plan_cohort_run(edited, planned)).renamings == []


def test_a_parent_that_cannot_be_read_is_told_as_the_change_and_hides_no_other(workspace: Workspace) -> None:
    cohort = workspace.require_current_cohort()
    draft = next(member for member in cohort.members if member.stage is Stage.DRAFT)
    (workspace.store.folder(Stage.DRAFT, draft.gen_id) / "parsed.txt").write_bytes(b"\xff\xfe")
    with closing(Index(workspace.store, read_only=True)) as index:
        found = list(find_stale(workspace.recipe(), cohort.members, index))
    assert [member.parent_gen_id for member, _ in found] == [draft.gen_id]
    assert "is not UTF-8 text" in found[0][1].second
