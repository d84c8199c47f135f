"""`budget`: what a cohort has spent, and how the bound that a run left is changed and removed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.test_command_line import end
from tests.engine.test_forecast import make_workspace, run_all
from tests.store.outcomes import make_call

from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.ledger import Ledger, Limits, find_cohort_scope

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.delenv("DD_COHORT", raising=False)
    workspace = make_workspace(Path("data"), 1)
    run_all(workspace)
    return workspace


def spend(workspace: Workspace, limits: Limits) -> str:
    """A cohort that spent a quarter of a dollar for sure, and perhaps another half."""
    cohort_id = workspace.require_current_cohort().cohort_id
    with closing(Ledger(workspace.paths)) as ledger:
        ledger.record(
            [
                make_call("sure", cohort_id=cohort_id, state="answered", cost_usd=0.25),
                make_call("lost", cohort_id=cohort_id, reserved_usd=0.5),
            ]
        )
        ledger.set_limits(find_cohort_scope(cohort_id), limits)
    return cohort_id


def test_the_bound_that_a_run_left_is_shown_with_what_is_spent_and_how_to_change_it(
    workspace: Workspace, capsys: Capture
) -> None:
    cohort_id = spend(workspace, Limits(usd=2.0))
    assert end("budget") == 0
    told = capsys.readouterr().out
    assert f"Cohort {cohort_id}: $0.7500 of $2.0000 are spent." in told
    assert "up to $0.5000 for 1 call that ended without a word" in told
    assert "daydreaming run --cohort-budget-usd NEW" in told


def test_a_plan_sets_the_kept_bound_beside_what_it_would_cost(workspace: Workspace, capsys: Capture) -> None:
    spend(workspace, Limits(usd=0.75))
    assert end("plan") == 0
    assert "Budget of the cohort: $0.7500 of $0.7500 are spent: daydreaming budget" in capsys.readouterr().out


def test_a_program_reads_the_kept_bound_beside_what_is_spent(workspace: Workspace, capsys: Capture) -> None:
    spend(workspace, Limits(usd=2.0))
    assert end("plan", "--offline", "--json") == 0
    budget = json.loads(capsys.readouterr().out)["budget"]
    assert (budget["limit_usd"], budget["limit_tokens"], budget["spent_usd"]) == (2.0, None, 0.75)


def test_a_removed_bound_leaves_what_is_spent(workspace: Workspace, capsys: Capture) -> None:
    cohort_id = spend(workspace, Limits(usd=2.0, tokens=10))
    assert end("budget", "--remove") == 0
    assert "No bound holds." in capsys.readouterr().out
    with closing(Ledger(workspace.paths)) as ledger:
        limits, spent = ledger.find_scope(find_cohort_scope(cohort_id))
    assert (limits, spent.usd) == (Limits(), 0.75)
