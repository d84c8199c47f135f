"""The main job on the terminal: cohort, generations and results as Dagster runs, live counts, a closing page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape

from daydreaming_dagster import definitions
from daydreaming_dagster.assets.group_cohorts import COHORT_ASSETS
from daydreaming_dagster.automation import CohortRunConfig, RunBoard
from daydreaming_dagster.cli.closing_page import print_closing_page, print_work
from daydreaming_dagster.cli.console import count_by_stage, print_line
from daydreaming_dagster.cli.dagster_runs import DagsterRuns, find_exit_code
from daydreaming_dagster.engine.budget import BudgetLimits
from daydreaming_dagster.engine.cohort_run import Choice, plan_cohort_run, require_keys
from daydreaming_dagster.resources.dagster_home import open_instance
from daydreaming_dagster.resources.workspace import ExperimentConfigResource, WorkspaceResource

RESULT_GROUPS = ("results_processing", "results_summary", "results_analysis")


@dataclass(frozen=True)
class MainJob:
    """One `daydreaming run`.

    Attributes:
        cohort: name for the cohort; None takes the computed id.
        resource_config: run config of `experiment_config`; None values are left out.
        tags: set on every Dagster run.
        retry: reasons of lasting failures that are called again.
        passes: how often at most, as long as something failed.
        budget: what may be spent.
    """

    cohort: str | None
    resource_config: Mapping[str, Any]
    tags: Mapping[str, str]
    retry: Sequence[str]
    quiet: bool
    passes: int = 1
    budget: BudgetLimits = field(default_factory=BudgetLimits)

    def run(self) -> int:
        """Does the job and returns the exit code."""
        config = {name: value for name, value in self.resource_config.items() if value is not None}
        experiment = ExperimentConfigResource(**config)
        workspace = WorkspaceResource(experiment_config=experiment)
        # Read everything first: a mistake in an input file or a missing key is told without a Dagster run.
        opened = workspace.open(self.cohort)
        plan = opened.plan_cohort()
        require_keys(opened, plan, plan_cohort_run(opened, plan, Choice(retry=self.retry)))
        with open_instance() as instance:
            runs = DagsterRuns(instance, definitions.build_resources(experiment), self.tags, self._run_config())
            self._say(f"Cohort [bold]{plan.cohort_id}[/]: {count_by_stage(plan.members)}")
            for note in plan.notes:
                self._say(f"[dim]{escape(note)}[/]")
            runs.materialize(COHORT_ASSETS)
            for left in reversed(range(self.passes)):
                board = runs.make_generations(self._build_config(plan.cohort_id), quiet=self.quiet)
                again = left > 0 and _may_go_on(board)
                print_work(board, again=again)
                if not again:
                    break
            runs.materialize(find_assets(RESULT_GROUPS))
        print_closing_page(opened, plan.cohort_id, quiet=self.quiet)
        return find_exit_code(board)

    def _run_config(self) -> dict[str, Any]:
        return {"ops": {"cohort_id": {"config": {"override": self.cohort}}}} if self.cohort else {}

    def _build_config(self, cohort_id: str) -> CohortRunConfig:
        return CohortRunConfig(
            cohort_id=cohort_id,
            retry=list(self.retry),
            budget_usd=self.budget.usd,
            budget_tokens=self.budget.tokens,
            cohort_budget_usd=self.budget.cohort_usd,
            cohort_budget_tokens=self.budget.cohort_tokens,
        )

    def _say(self, text: str) -> None:
        if not self.quiet:
            print_line(text)


def find_assets(groups: Collection[str]) -> list[str]:
    """Names of the assets in these groups."""
    specs = definitions.defs.resolve_all_asset_specs()
    return [spec.key.to_user_string() for spec in specs if spec.group_name in groups]


def _may_go_on(board: RunBoard) -> bool:
    report = board.report
    return report is not None and report.stopped is None and report.progress.failed.total() > 0
