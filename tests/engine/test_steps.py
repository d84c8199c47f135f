"""Single steps of generations that somebody named, as Dagster's stage assets do them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.scripted_root import make_scripted_directory

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine import writer
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.steps import materialize_raw
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.paths import DataPaths


def test_a_response_that_a_stopped_run_did_not_get_is_a_failure_and_not_a_success_without_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_scripted_directory(tmp_path, concepts=2)
    workspace = Workspace(DataPaths(tmp_path / "data"), Settings().experiment_config())
    cohort = workspace.build_cohort()
    drafts = [member for member in cohort.members if member.stage is Stage.DRAFT]
    recipe = workspace.recipe(cohort.combinations)
    monkeypatch.setattr(writer, "LEAST_FREE_BYTES", 1 << 70)  # no disk has that much
    results = materialize_raw(workspace, recipe, drafts, RunInfo("run", cohort.cohort_id))
    assert results
    assert [result.error.reason if result.error else None for result in results] == ["disk_full"] * len(drafts)
    monkeypatch.undo()
    results = materialize_raw(workspace, recipe, drafts, RunInfo("run", cohort.cohort_id))
    assert all(result.text and result.error is None for result in results)
