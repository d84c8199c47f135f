"""`report`, `compare`, `export` and `reparse` on the command line: where things lie, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from tests.experiments.rated_root import RatedRoot, spread
from typer.testing import CliRunner, Result

from daydreaming_dagster.cli import compare, export, reparse, report
from daydreaming_dagster.domain.errors import ConfigurationError, MembershipError
from daydreaming_dagster.experiments import report_plots


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RatedRoot:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.delenv("DD_COHORT", raising=False)
    made = RatedRoot(tmp_path)
    made.write_models(writers=["writer"], judges=["judge", "other-judge"])
    made.run(spread, cohort="mine")
    return made


def call(command: Callable[..., None], *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_a_report_is_written_with_all_its_plots(root: RatedRoot, tmp_path: Path) -> None:
    result = call(report.report)
    assert result.exit_code == 0
    folder = tmp_path / "reports" / "mine"
    assert str(Path("reports/mine/report.html")) in result.stdout
    assert {path.suffix for path in (folder / "plots").iterdir()} == {".png", ".svg"}
    assert {path.stem for path in (folder / "plots").iterdir()} == {plot.name for plot in report_plots.PLOTS}
    page, markdown = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    shown = [plot for plot in report_plots.PLOTS if f"](plots/{plot.name}.svg)" in markdown]
    assert page.count("data:image/svg+xml;base64,") == len(shown) > 0
    for plot in report_plots.PLOTS:
        assert (f"{plot.question} No picture: " in markdown) == (plot not in shown)


def test_the_exit_code_of_a_comparison_says_whether_there_is_an_answer(root: RatedRoot) -> None:
    answered = call(compare.compare, "judge", "other-judge")
    assert answered.exit_code == 0
    assert "judge − other-judge as judge model" in answered.stdout
    assert call(compare.compare, "novelty", "coherence").exit_code == 3
    assert isinstance(call(compare.compare, "nobody", "judge").exception, ConfigurationError)


def test_a_comparison_can_be_read_by_a_program(root: RatedRoot) -> None:
    value = json.loads(call(compare.compare, "judge", "other-judge", "--json", "--margin", "2").stdout)
    assert {row["construct"] for row in value["rows"]} == {"coherence", "novelty"}
    assert {row["margin"] for row in value["rows"]} == {2.0}


def test_an_export_lies_under_reports(root: RatedRoot, tmp_path: Path) -> None:
    result = call(export.export)
    assert result.exit_code == 0
    assert (tmp_path / "reports" / "mine" / "tables" / "ratings_long.parquet").is_file()
    assert "README.md" in result.stdout


def test_reading_again_lists_changes_and_a_trial_says_that_nothing_was_written(root: RatedRoot) -> None:
    trial = call(reparse.reparse, "--parser", "json_score", "--template", "novelty", "--dry-run")
    assert trial.exit_code == 0
    assert "nothing (invalid_json)" in trial.stdout
    assert "6 evaluations looked at: 6 lost." in trial.stdout
    assert "Nothing was written." in trial.stdout
    same = call(reparse.reparse, "--stage", "evaluation")
    assert "12 evaluations looked at: 12 as before." in same.stdout


def test_without_a_cohort_each_of_them_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    RatedRoot(tmp_path)
    for command in (report.report, export.export, reparse.reparse):
        assert isinstance(call(command).exception, MembershipError)
