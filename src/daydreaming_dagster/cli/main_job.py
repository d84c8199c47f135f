"""The main job on the terminal: cohort, generations and results as Dagster runs, live counts, a closing page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from daydreaming_dagster.cli.closing_page import print_closing_page, print_work
from daydreaming_dagster.cli.console import count_by_stage, print_line, show_command
from daydreaming_dagster.cli.exit_codes import find_exit_code
from daydreaming_dagster.cli.opening import open_workspace
from daydreaming_dagster.engine.budget import BudgetLimits
from daydreaming_dagster.engine.cohort_run import Choice, plan_cohort_run, require_keys
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.run import RunReport
from daydreaming_dagster.engine.run_board import RunBoard
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.last_run import is_unchanged, remember_run
from daydreaming_dagster.resources.dagster_home import find_home
from daydreaming_dagster.store.cohorts import CohortPlan, write_cohort

if TYPE_CHECKING:
    from daydreaming_dagster.automation import CohortRunConfig

RESULT_GROUPS = ("results_processing", "results_summary", "results_analysis")


@dataclass(frozen=True)
class MainJob:
    """One `daydreaming run`.

    Attributes:
        cohort: name for the cohort; None takes the computed id.
        tags: set on every Dagster run.
        retry: reasons of lasting failures that are called again.
        k_max, description_level: run config of `experiment_config`; None leaves them to the environment.
        passes: how often at most, as long as something failed.
        budget: what may be spent.
    """

    cohort: str | None
    tags: Mapping[str, str]
    retry: Sequence[str]
    quiet: bool
    k_max: int | None = None
    description_level: str | None = None
    passes: int = 1
    budget: BudgetLimits = field(default_factory=BudgetLimits)

    def run(self) -> int:
        """Does the job and returns the exit code."""
        workspace = open_workspace(self.cohort, k_max=self.k_max, description_level=self.description_level)
        # Read everything first: a mistake in an input file or a missing key is told without a Dagster run.
        cohort = workspace.plan_cohort()
        plan = plan_cohort_run(workspace, cohort, Choice(retry=self.retry))
        require_keys(workspace, cohort, plan)
        self._say(f"Cohort [bold]{cohort.cohort_id}[/]: {count_by_stage(cohort.members)}")
        for note in cohort.notes:
            self._say(f"[dim]{escape(note)}[/]")
        if self._is_done(workspace, cohort, plan):
            write_cohort(workspace.paths, cohort)
            board = RunBoard(plan=plan, report=RunReport(Progress()))
            print_work(board)
        else:
            self._say("[dim]Starting Dagster …[/]")
            board = self._make(workspace, cohort)
        if board.was_interrupted:
            tables = ",".join(f"group:{group}" for group in RESULT_GROUPS)
            print_line("Interrupted; what was answered is stored.")
            for what, words in (("go on", "run"), ("tables of what is there", f'materialize --select "{tables}"')):
                print_line(f"[dim]{what:>26}[/]  {escape(show_command(words, workspace.paths.root))}")
        else:
            print_closing_page(workspace, cohort.cohort_id, quiet=self.quiet)
        return find_exit_code(board)

    def _is_done(self, workspace: Workspace, cohort: CohortPlan, plan: Plan) -> bool:
        is_untouched = cohort.unchanged and not plan.size and not self.tags
        return is_untouched and is_unchanged(find_home(), workspace, cohort.cohort_id, cohort)

    def _make(self, workspace: Workspace, cohort: CohortPlan) -> RunBoard:
        """Cohort, generations and tables as Dagster runs; after Ctrl-C, without the tables."""
        from daydreaming_dagster import definitions
        from daydreaming_dagster.assets.group_cohorts import COHORT_ASSETS
        from daydreaming_dagster.cli.dagster_runs import DagsterRuns, find_assets
        from daydreaming_dagster.resources.dagster_home import open_instance
        from daydreaming_dagster.resources.workspace import ExperimentConfigResource

        experiment = ExperimentConfigResource(k_max=self.k_max, description_level=self.description_level)
        with open_instance() as instance:
            runs = DagsterRuns(instance, definitions.build_resources(experiment), self.tags, self._run_config())
            runs.materialize(COHORT_ASSETS)
            for left in reversed(range(self.passes)):
                board = runs.make_generations(self._build_config(cohort.cohort_id), quiet=self.quiet)
                again = left > 0 and _may_go_on(board)
                print_work(board, again=again)
                if not again:
                    break
            if board.was_interrupted:
                return board
            self._say("[dim]Making the tables …[/]")
            runs.materialize(find_assets(RESULT_GROUPS))
        remember_run(find_home(), workspace, cohort.cohort_id, cohort)
        return board

    def _run_config(self) -> dict[str, Any]:
        return {"ops": {"cohort_id": {"config": {"override": self.cohort}}}} if self.cohort else {}

    def _build_config(self, cohort_id: str) -> CohortRunConfig:
        from daydreaming_dagster.automation import CohortRunConfig

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


def _may_go_on(board: RunBoard) -> bool:
    report = board.report
    return report is not None and report.stopped is None and report.progress.failed.total() > 0
