from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.workload import open_workspace, write_inputs

from daydreaming_dagster.engine.cohort_run import forecast_cohort_run, plan_cohort_run, run_cohort
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.workspace import Workspace


def make_workspace(root: Path, trees: int, limits: str = ",,") -> Workspace:
    write_inputs(root, base_url="", trees=trees, max_concurrent=4, pool_limits=limits)
    endpoints = "endpoint,kind,base_url,api_key_env,extra_body\nstub,scripted,,,\n"
    (root / "1_raw" / "llm_endpoints.csv").write_text(endpoints)
    return open_workspace(root)


def run_all(workspace: Workspace) -> None:
    workspace.build_cohort()
    cohort = workspace.require_current_cohort()
    run_cohort(workspace, cohort, plan_cohort_run(workspace, cohort), RunInfo("run-1", cohort.cohort_id))


def test_without_history_the_forecast_counts_every_call_and_its_bounds_are_wide(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "data", 10)
    plan, forecast = forecast_cohort_run(workspace, workspace.plan_cohort())
    assert plan.size == 30
    assert forecast.calls.expected == pytest.approx(30)
    assert [(line.stage, line.pool, line.from_history) for line in forecast.lines] == [
        ("draft", "bench", 0.0),
        ("essay", "bench", 0.0),
        ("evaluation", "bench", 0.0),
    ]
    assert forecast.tokens.high > 1.5 * forecast.tokens.expected


def test_a_forecast_writes_nothing(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "data", 3)
    before = sorted(path for path in (tmp_path / "data").rglob("*"))
    forecast_cohort_run(workspace, workspace.plan_cohort())
    assert sorted(path for path in (tmp_path / "data").rglob("*")) == before


def test_with_history_tokens_are_forecast_closely_and_the_record_shows_it(tmp_path: Path) -> None:
    root = tmp_path / "data"
    run_all(make_workspace(root, 20))
    workspace = make_workspace(root, 60)
    _, forecast = forecast_cohort_run(workspace, workspace.plan_cohort())
    assert all(line.from_history == 1.0 for line in forecast.lines)
    assert forecast.calls.expected == pytest.approx(120)
    workspace.build_cohort()
    cohort = workspace.require_current_cohort()
    report = run_cohort(workspace, cohort, plan_cohort_run(workspace, cohort), RunInfo("run-2", cohort.cohort_id))
    assert report.forecast is not None
    truth = {name: value for name, _, value, _ in report.forecast.compare(report.progress, report.duration_s)}
    assert truth["calls"] == 120
    assert truth["tokens"] == pytest.approx(forecast.tokens.expected, rel=0.1)
    assert (workspace.paths.forecasts / "run-2.json").exists()


def test_failed_tries_and_unusable_answers_are_counted_in(tmp_path: Path) -> None:
    root = tmp_path / "data"
    run_all(make_workspace(root, 8))
    for folder in sorted((root / "gens" / "draft").iterdir())[:4]:
        (folder / "parsed.txt").unlink()
        (folder / "raw_metadata.json").write_text(
            (folder / "raw_metadata.json")
            .read_text()
            .replace('"failure": null', '"failure": {"reason": "truncated", "message": "", "lasting": true}')
        )
    workspace = make_workspace(root, 108)
    _, forecast = forecast_cohort_run(workspace, workspace.plan_cohort())
    lines = {line.stage: line for line in forecast.lines}
    assert lines["draft"].calls.expected == pytest.approx(100)
    assert lines["essay"].calls.expected == pytest.approx(50)


def test_a_pools_limits_decide_how_long_it_takes(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "a", 20)
    slow = make_workspace(tmp_path / "b", 20, limits="6,,")
    daily = make_workspace(tmp_path / "c", 20, limits=",,20")
    seconds = [forecast_cohort_run(each, each.plan_cohort())[1].seconds.expected for each in (workspace, slow, daily)]
    assert seconds[1] > 60 * 7
    assert seconds[2] >= 86_400
    assert seconds[0] < seconds[1]
