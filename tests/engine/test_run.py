"""A run from beginning to end: what it tells when the disk refuses something at its very end."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.scripted_root import make_scripted_directory

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import StoreError, UsageError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine import run
from daydreaming_dagster.engine.cohort_run import Choice, plan_cohort_run, run_cohort
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunReport
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.index import Index, find_index_errors
from daydreaming_dagster.store.owners import iter_owner_ids
from daydreaming_dagster.store.paths import DataPaths


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    make_scripted_directory(tmp_path, concepts=2)
    return Workspace(DataPaths(tmp_path / "data"), Settings().experiment_config())


def run_drafts(workspace: Workspace) -> RunReport:
    cohort = workspace.build_cohort()
    plan = plan_cohort_run(workspace, cohort, Choice(stages=[Stage.DRAFT]))
    return run_cohort(workspace, cohort, plan, RunInfo("run", cohort.cohort_id))


def test_what_was_refused_after_the_last_call_is_among_the_errors_that_are_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Index, "add", refuse)
    report = run_drafts(workspace)
    assert report.progress.made.total() == 2
    assert report.stopped is not None
    assert report.stopped in report.errors.values()
    assert "No space left" in report.stopped.what


def test_a_misspelt_reason_to_call_again_is_told_with_the_nearest_one(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="is 'truncated' meant") as caught:
        plan_cohort_run(workspace, workspace.plan_cohort(), Choice(retry=["truncatd"]))
    assert "parse_failed" in caught.value.fix
    assert "stale" in caught.value.fix


def test_every_reason_that_the_documents_tell_can_be_named(workspace: Workspace) -> None:
    table = Path("docs/troubleshooting.md").read_text().partition("## Reasons of failed")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    reasons = re.findall(r"`(\w+)`", " ".join(rows))
    assert len(reasons) > 20
    plan_cohort_run(workspace, workspace.plan_cohort(), Choice(retry=reasons))


def test_a_run_that_cannot_open_its_books_leaves_no_sign_of_life(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreError("The ledger cannot be used.", fix="Mend it.")

    monkeypatch.setattr(run, "Ledger", refuse)
    with pytest.raises(StoreError):
        run_drafts(workspace)
    assert not list(iter_owner_ids(workspace.paths))


def test_all_clients_are_closed_also_when_one_cannot_be(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Client:
        def __init__(self, endpoint: Endpoint, **_: Any) -> None:
            self.name = endpoint.endpoint

        async def aclose(self) -> None:
            closed.append(self.name)
            raise OSError("a connection that cannot be closed")

    monkeypatch.setattr(run, "open_client", Client)
    endpoints = {name: Endpoint(name, "openai", "http://127.0.0.1:1/v1") for name in ("first", "second")}
    clients = run.EndpointClients(endpoints, {}, workspace.paths)
    for name in endpoints:
        clients.client(name)
    with pytest.raises(OSError, match="cannot be closed"):
        asyncio.run(clients.aclose())
    assert sorted(closed) == ["first", "second"]


def test_a_forecast_that_cannot_be_kept_does_not_hide_what_the_run_did(workspace: Workspace) -> None:
    workspace.paths.forecasts.parent.mkdir(parents=True)
    workspace.paths.forecasts.write_text("not a folder")
    report = run_drafts(workspace)
    assert report.progress.made.total() == 2
    assert report.forecast is not None
    assert report.stopped is not None
    assert report.stopped in report.errors.values()


def test_a_generation_keeps_the_experiment_it_was_begun_under_whoever_reads_or_asks_again(workspace: Workspace) -> None:
    run_drafts(workspace)
    cohort = workspace.build_cohort()
    first = next(member for member in cohort.members if member.stage is Stage.DRAFT)
    (workspace.paths.generation(first.stage, first.gen_id) / "parsed.txt").unlink()
    plan = plan_cohort_run(workspace, cohort, Choice(stages=[Stage.DRAFT]))
    assert plan.size == 1
    run_cohort(workspace, cohort, plan, RunInfo("again", "another-cohort", experiment_id="later"))
    assert find_index_errors(workspace.store) == []
    index = Index(workspace.store)
    assert {row[1] for row in index.columns(Stage.DRAFT, ("gen_id", "experiment_id"))} <= {None, ""}
    index.close()
