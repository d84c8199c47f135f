"""Jobs: the bulk run of a cohort as one Dagster run, tagged, visible, and resumable by starting it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dagster import Config, Failure, OpExecutionContext, ResourceParam, job, op, resource
from pydantic import Field

from daydreaming_dagster.assets.generation_step import EXPERIMENT_TAG, build_failure_of_many, build_step_records
from daydreaming_dagster.assets.partitions import synchronize_partitions
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import STEPS, Stage
from daydreaming_dagster.engine.budget import BudgetLimits
from daydreaming_dagster.engine.cohort_run import (
    Choice,
    plan_cohort_run,
    plan_free_steps,
    run_cohort,
    run_free_steps,
)
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunOptions, RunReport
from daydreaming_dagster.engine.steps import StepResult
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.outcome_recorder import OutcomeRecorder
from daydreaming_dagster.resources.recorder import EventRecorder
from daydreaming_dagster.resources.workspace import WorkspaceResource


@dataclass(slots=True)
class RunBoard:
    """Where a bulk run writes what it does, for whoever started it in the same process.

    Attributes:
        plan: what was to be done; None until it is known, and where nobody was to be called.
        report: how it ended; None until it has, and where nobody was to be called.
        waiting: generations that could have no prompt, because their parent's text is not there.
        results: what came of prompts and readings where nobody was to be called, by step.
    """

    progress: Progress = field(default_factory=Progress)
    plan: Plan | None = None
    report: RunReport | None = None
    waiting: int = 0
    results: Mapping[str, Sequence[StepResult]] = field(default_factory=dict)


@resource
def unwatched_board() -> RunBoard:
    """A board that nobody looks at; the command line brings its own."""
    return RunBoard()


class CohortRunConfig(Config):
    """Run config of the bulk run."""

    cohort_id: str | None = Field(default=None, description="Which cohort; None takes the one built last.")
    stages: list[str] = Field(default=[str(stage) for stage in Stage], description="Which stages are worked on.")
    steps: list[str] = Field(default=list(STEPS), description="Which steps of them; without `raw`, no model is called.")
    gen_ids: list[str] | None = Field(default=None, description="Only these generations; None takes all.")
    lineage_of: str | None = Field(
        default=None, description="Only this generation, what it is made from where that is missing, and what follows."
    )
    retry: list[str] = Field(default=[], description="Reasons of lasting failures that are called again.")
    budget_usd: float | None = Field(default=None, description="Most that this run may spend, USD.")
    budget_tokens: int | None = Field(default=None, description="Most tokens that this run may use.")
    cohort_budget_usd: float | None = Field(
        default=None, description="Most that all runs of the cohort together may spend, USD; it holds from now on."
    )
    cohort_budget_tokens: int | None = Field(
        default=None, description="Most tokens that all runs of the cohort together may use; it holds from now on."
    )

    def to_budget(self) -> BudgetLimits:
        """What may be spent."""
        return BudgetLimits(self.budget_usd, self.budget_tokens, self.cohort_budget_usd, self.cohort_budget_tokens)

    def to_choice(self) -> Choice:
        """The part of the cohort that is meant.

        Raises:
            ConfigurationError: there is no such stage or step.
        """
        _require_known("stage", self.stages, list(Stage))
        _require_known("step", self.steps, STEPS)
        return Choice(
            stages=[Stage(name) for name in self.stages],
            steps=self.steps,
            gen_ids=self.gen_ids,
            lineage_of=self.lineage_of,
            retry=self.retry,
        )


def _require_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"There is no {what} {name!r}.",
                fix=f"Use {', '.join(known)} in the run config of make_generations.",
            )


@op
def make_generations(
    context: OpExecutionContext,
    config: CohortRunConfig,
    workspace: WorkspaceResource,
    run_board: ResourceParam[RunBoard],
) -> None:
    """Makes all generations of a cohort that are not done, without barriers between the stages."""
    with explain_failures():
        opened = workspace.open(config.cohort_id)
        cohort = opened.require_current_cohort()
        choice, budget = config.to_choice(), config.to_budget()
        synchronize_partitions(context.instance, opened.paths, cohort)
        recorder = EventRecorder(context.instance, context.run)
        run_info = RunInfo(context.run_id, cohort.cohort_id, context.run.tags.get(EXPERIMENT_TAG))
        if "raw" in choice.steps:
            plan = run_board.plan = plan_cohort_run(opened, cohort, choice)
            context.log.info(f"{plan.size} generations of {cohort.cohort_id} to make")
            with OutcomeRecorder(recorder) as outcomes:
                if missed := outcomes.record_missed(opened.store, plan.done_ids):
                    context.log.info(f"{missed} finished generations were unknown to Dagster; they are recorded now")
                options = RunOptions(parse="parsed" in choice.steps, budget=budget, on_stored=outcomes.record)
                run_board.report = run_cohort(
                    opened, cohort, plan, run_info, progress=run_board.progress, options=options
                )
        else:
            planned = plan_free_steps(opened, cohort, choice)
            run_board.waiting = len(planned.waiting)
            run_board.results = run_free_steps(opened, cohort, planned, run_info)
            for step, results in run_board.results.items():
                recorder.record([record for result in results for record in build_step_records(step, result)])
    if run_board.report is not None:
        _require_complete(run_board.report)
    _require_no_failure(run_board.results)


def _require_no_failure(results: Mapping[str, Sequence[StepResult]]) -> None:
    failed = [result for of_step in results.values() for result in of_step if result.error is not None]
    if failed:
        raise build_failure_of_many(failed, sum(len(of_step) for of_step in results.values()))


def _require_complete(report: RunReport) -> None:
    progress = report.progress
    failed, blocked = progress.failed.total(), progress.blocked.total()
    if report.stopped is not None:
        raise Failure(description=str(report.stopped), allow_retries=False)
    if failed or blocked:
        reasons = ", ".join(f"{count} {stage} {reason}" for (stage, reason), count in progress.failures.items())
        raise Failure(
            description=f"{failed} generations failed ({reasons}); {blocked} more wait for them. Everything else is "
            "stored.\n  → See `daydreaming status`, then start the run again.",
            allow_retries=False,
        )


@job
def cohort_run() -> None:
    """Drafts, essays and evaluations of a cohort in one run; finished ones are never made twice."""
    make_generations()
