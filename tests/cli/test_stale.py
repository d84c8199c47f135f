"""`stale`, and what `plan` and `status` say of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.test_command_line import end
from tests.engine.test_forecast import make_workspace, run_all

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("DD_COHORT", raising=False)
    workspace = make_workspace(Path("data"), 3)
    run_all(workspace)
    return workspace


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_is_stale_after_a_run(workspace: Workspace, capsys: Capture) -> None:
    assert end("stale") == 0
    assert capsys.readouterr().out == "None of 9 is stale.\n"


def test_what_is_stale_is_grouped_and_ends_with_the_command_that_mends_it(
    workspace: Workspace, capsys: Capture
) -> None:
    edit(workspace.paths.template(Stage.ESSAY, "essay"), "Write it out.", "Write it out well.")
    assert end("stale") == 3
    told = capsys.readouterr().out
    assert told.startswith("3 of 9 were made from inputs that have changed since:")
    assert "template, line 1 of the prompt" in told
    assert "3 more follow from them" in told
    assert "daydreaming run --retry stale --dry-run" in told
    assert end("stale", "--stage", "evaluation") == 0


def test_single_ones_are_listed_for_people_and_programs(workspace: Workspace, capsys: Capture) -> None:
    edit(workspace.paths.models_csv, "fake/judge", "fake/judge-2")
    ids = {member.gen_id for member in workspace.require_current_cohort().members if member.stage is Stage.EVALUATION}
    assert end("stale", "--gen-ids") == 3
    assert set(capsys.readouterr().out.split()) == ids
    end("stale", "--all")
    assert "model: then fake/judge | now fake/judge-2" in capsys.readouterr().out
    end("stale", "--json")
    rows = json.loads(capsys.readouterr().out)["stale"]
    assert {row["gen_id"] for row in rows} == ids
    assert {row["cause"] for row in rows} == {"model"}


def test_plan_and_status_mention_it_in_a_line(workspace: Workspace, capsys: Capture) -> None:
    edit(workspace.paths.models_csv, "fake/judge", "fake/judge-2")
    assert end("plan") == 0
    assert "3 stored ones are stale and stay as they are: daydreaming stale" in capsys.readouterr().out
    assert end("plan", "--retry", "stale") == 0
    assert "In all 3 (" in capsys.readouterr().out
    assert end("status") == 0
    assert "3 generations made from inputs that have changed since: daydreaming stale" in capsys.readouterr().out


def test_status_can_be_told_although_the_inputs_cannot_be_read(workspace: Workspace, capsys: Capture) -> None:
    workspace.paths.models_csv.write_text("nonsense\n")
    assert end("status") == 0
    assert "Everything is done." in capsys.readouterr().out


def test_plan_says_when_a_model_seems_to_have_been_renamed(workspace: Workspace, capsys: Capture) -> None:
    edit(workspace.paths.models_csv, "\nwriter,", "\nauthor,")
    assert end("plan") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "3 of the missing drafts are stored already, with the same prompt and parameters" in told
    assert "name it 'writer' again" in told


def test_plan_of_what_only_has_to_be_read_again_says_that_nobody_is_called(
    workspace: Workspace, capsys: Capture
) -> None:
    for member in workspace.require_current_cohort().members:
        if member.stage is Stage.EVALUATION:
            (workspace.store.folder(member.stage, member.gen_id) / "parsed.txt").unlink()
    assert end("plan") == 0
    assert "No model is called: 3 stored texts to read again or to copy, which is free." in capsys.readouterr().out
