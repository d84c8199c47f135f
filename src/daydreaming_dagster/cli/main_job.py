"""The main job on the terminal: cohort, generations and results as Dagster runs, live counts, a closing page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult, RunConfig, materialize

from daydreaming_dagster import definitions
from daydreaming_dagster.automation import CohortRunConfig, RunBoard, cohort_run
from daydreaming_dagster.cli.closing_page import print_closing_page, print_work
from daydreaming_dagster.cli.console import print_line
from daydreaming_dagster.cli.live_progress import show_progress
from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.budget import BudgetLimits
from daydreaming_dagster.resources.dagster_home import open_instance
from daydreaming_dagster.resources.workspace import ExperimentConfigResource, WorkspaceResource

COHORT_ASSETS = (
    "selected_combo_mappings",
    "content_combinations",
    "cohort_id",
    "cohort_membership",
    "register_cohort_partitions",
)
RESULT_GROUPS = ("results_processing", "results_summary", "results_analysis")
_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own log lines go to its event log and not between ours."""
EXIT_OK, EXIT_ERROR, EXIT_INCOMPLETE, EXIT_INTERRUPTED = 0, 1, 3, 130


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
        # Read everything first: a mistake in an input file is told in a second and without a Dagster run.
        opened = workspace.open(self.cohort)
        plan = opened.plan_cohort()
        with open_instance() as instance:
            self._say(
                f"Cohort [bold]{plan.cohort_id}[/]: "
                + ", ".join(f"{sum(1 for member in plan.members if member.stage is stage)} {stage}s" for stage in Stage)
            )
            self._materialize_cohort(instance, experiment)
            for left in reversed(range(self.passes)):
                board = self._make_generations(instance, experiment, plan.cohort_id)
                again = left > 0 and _may_go_on(board)
                print_work(board, again=again)
                if not again:
                    break
            self._materialize_results(instance, experiment)
        print_closing_page(opened, plan.cohort_id, quiet=self.quiet)
        return _exit_code(board)

    def _materialize_cohort(self, instance: DagsterInstance, experiment: ExperimentConfigResource) -> None:
        run_config = {"ops": {"cohort_id": {"config": {"override": self.cohort}}}} if self.cohort else {}
        self._materialize(instance, experiment, list(COHORT_ASSETS), run_config)

    def _materialize_results(self, instance: DagsterInstance, experiment: ExperimentConfigResource) -> None:
        names = [
            spec.key.to_user_string()
            for spec in definitions.defs.resolve_all_asset_specs()
            if spec.group_name in RESULT_GROUPS
        ]
        self._materialize(instance, experiment, names, {})

    def _materialize(
        self,
        instance: DagsterInstance,
        experiment: ExperimentConfigResource,
        selection: Sequence[str],
        run_config: Mapping[str, Any],
    ) -> None:
        result = materialize(
            definitions.ASSETS,
            selection=list(selection),
            resources=definitions.build_resources(experiment),
            instance=instance,
            run_config={**run_config, **_SILENT},
            tags=dict(self.tags),
            raise_on_error=False,
        )
        _require_success(result)

    def _make_generations(
        self, instance: DagsterInstance, experiment: ExperimentConfigResource, cohort_id: str
    ) -> RunBoard:
        board = RunBoard()
        with show_progress(board.progress, quiet=self.quiet):
            result = cohort_run.execute_in_process(
                instance=instance,
                resources={**definitions.build_resources(experiment), "run_board": board},
                run_config=RunConfig(
                    ops={"make_generations": self._build_run_config(cohort_id)},
                    loggers=_SILENT["loggers"],
                ),
                tags=dict(self.tags),
                raise_on_error=False,
            )
        if board.report is None:
            _require_success(result)
        return board

    def _build_run_config(self, cohort_id: str) -> CohortRunConfig:
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


def parse_tags(texts: Sequence[str]) -> dict[str, str]:
    """Tags from KEY=VALUE options.

    Raises:
        ConfigurationError: one has no key or no equals sign.
    """
    tags = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise ConfigurationError(
                f"--tag {text!r} is not KEY=VALUE.", fix="Write for example: --tag experiment_id=my_experiment"
            )
        tags[key.strip()] = value.strip()
    return tags


def _may_go_on(board: RunBoard) -> bool:
    report = board.report
    return report is not None and report.stopped is None and report.progress.failed.total() > 0


def _require_success(result: ExecuteInProcessResult) -> None:
    if result.success:
        return
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            user_failure = data.user_failure_data
            text = user_failure.description if user_failure else None
            if not text and data.error is not None:
                text = data.error.to_string() if os.environ.get("DD_DEBUG") else data.error.message.strip()
            what, _, fix = (text or "The step failed.").partition("\n  → ")
            raise DayDreamingError(
                f"{event.step_key}: {what}", fix=fix or "Run the command again with --debug to see where it failed."
            )
    raise DayDreamingError(
        f"The Dagster run {result.run_id} failed.", fix="Look at it in Dagster's UI, then run the command again."
    )


def _exit_code(board: RunBoard) -> int:
    report, plan = board.report, board.plan
    if report is None or plan is None:
        return EXIT_ERROR
    if report.stopped is not None:
        return {"interrupted": EXIT_INTERRUPTED, "budget": EXIT_INCOMPLETE}.get(report.stopped.reason, EXIT_ERROR)
    incomplete = report.progress.failed.total() + report.progress.blocked.total() + len(plan.held) + len(plan.blocked)
    return EXIT_INCOMPLETE if incomplete else EXIT_OK
