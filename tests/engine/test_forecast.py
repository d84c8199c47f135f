from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from benchmarks.workload import open_workspace, write_inputs

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_run import forecast_cohort_run, plan_cohort_run, run_cohort
from daydreaming_dagster.engine.forecast import Forecast, forecast_plan
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.index import History
from daydreaming_dagster.store.ledger import RunMeans


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


@dataclass
class SimulatedPast:
    """Runs whose answers differ from each other, and whose means differ from run to run.

    Attributes:
        drift: how far a run's mean is from that of all, standard deviation as a share of it.
        usable: share of the answers that can be used.
    """

    dice: random.Random
    drift: float
    usable: float = 0.9
    answers: dict[tuple[Stage, str, str], list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    runs: list[RunMeans] = field(default_factory=list)

    KINDS = ((Stage.DRAFT, "draft", "writer"), (Stage.ESSAY, "essay", "writer"), (Stage.EVALUATION, "judge", "judge"))
    MEAN, SD, PROMPT = 400.0, 120.0, 1000

    def run(self, trees: int, *, remember: bool = True) -> tuple[int, float]:
        """Calls and tokens of a run; each draft that can be used has one essay, and that one evaluation."""
        shifts = {model: 1.0 + self.dice.gauss(0.0, self.drift) for model in ("writer", "judge")}
        calls, tokens, left = 0, 0.0, trees
        for kind in self.KINDS:
            values = [max(1.0, self.dice.gauss(self.MEAN * shifts[kind[2]], self.SD)) for _ in range(left)]
            usable = sum(self.dice.random() < self.usable for _ in values)
            calls, tokens = calls + left, tokens + sum(values) + self.PROMPT * left
            if remember and values:
                self.answers[kind].extend((index < usable, value) for index, value in enumerate(values))
                mean = sum(values) / len(values)
                self.runs.append(RunMeans(*kind, left, left, self.PROMPT, mean, 2.0))
            left = usable
        return calls, tokens

    def read_history(self, stage: Stage) -> dict[tuple[str, str], History]:
        found = {}
        for (where, template, model), rows in self.answers.items():
            if where is stage:
                values = [value for _, value in rows]
                mean = sum(values) / len(values)
                sd = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
                usable = sum(is_usable for is_usable, _ in rows)
                found[template, model] = History(len(rows), usable, None, (self.PROMPT, 0.0), (mean, sd), (2.0, 0.5))
        return found

    def read_run_means(self) -> list[RunMeans]:
        return self.runs

    def forecast(self, workspace: Workspace) -> Forecast:
        cohort = workspace.plan_cohort()
        plan = plan_cohort_run(workspace, cohort)
        return forecast_plan(workspace.recipe(cohort.combinations), plan, cast("Any", self), cast("Any", self))


def measure_coverage(workspace: Workspace, drift: float, runs: int, repeats: int = 150) -> tuple[float, float, float]:
    """How often calls and tokens of a run lie in their 90 % intervals, and half the width of the latter's."""
    dice = random.Random(20 * runs + int(100 * drift))
    inside_calls = inside_tokens = 0
    widths = []
    for _ in range(repeats):
        past = SimulatedPast(dice, drift)
        for _ in range(runs):
            past.run(dice.randint(30, 120))
        forecast = past.forecast(workspace)
        calls, tokens = past.run(60, remember=False)
        inside_calls += forecast.calls.low <= calls <= forecast.calls.high
        inside_tokens += forecast.tokens.low <= tokens <= forecast.tokens.high
        widths.append((forecast.tokens.high - forecast.tokens.low) / 2 / forecast.tokens.expected)
    return inside_calls / repeats, inside_tokens / repeats, sum(widths) / repeats


@pytest.mark.parametrize("runs", [1, 3, 10])
def test_the_truth_lies_in_the_interval_about_as_often_as_it_says(tmp_path: Path, runs: int) -> None:
    calls, tokens, _ = measure_coverage(make_workspace(tmp_path / "data", 60), drift=0.05, runs=runs)
    assert 0.85 <= calls <= 0.97
    assert 0.87 <= tokens <= 0.985


def test_runs_that_differ_more_than_is_usual_are_learned_from(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "data", 60)
    _, tokens, width = measure_coverage(workspace, drift=0.2, runs=12)
    assert 0.86 <= tokens <= 0.97
    assert width > 1.3 * measure_coverage(workspace, drift=0.05, runs=12, repeats=20)[2]


def test_one_run_of_thousands_of_answers_says_little_of_how_much_runs_differ(tmp_path: Path) -> None:
    past = SimulatedPast(random.Random(1), drift=0.05)
    past.run(3000)
    forecast = past.forecast(make_workspace(tmp_path / "data", 60))
    assert forecast.runs == 1
    assert forecast.tokens.high > 1.03 * forecast.tokens.expected
    for _ in range(30):
        past.run(100)
    many = past.forecast(make_workspace(tmp_path / "data", 60))
    assert many.runs == 31
    assert many.tokens.high - many.tokens.expected < forecast.tokens.high - forecast.tokens.expected


def test_prompts_and_answers_of_earlier_runs_are_read_from_the_record_of_calls(tmp_path: Path) -> None:
    root = tmp_path / "data"
    run_all(make_workspace(root, 5))
    workspace = make_workspace(root, 15)
    _, forecast = forecast_cohort_run(workspace, workspace.plan_cohort())
    assert (forecast.runs, forecast.from_history) == (1, 1.0)
