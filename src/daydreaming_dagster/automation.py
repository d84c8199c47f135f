"""Jobs: the bulk run of a cohort as one Dagster run, tagged, visible, and resumable by starting it again."""

from dataclasses import dataclass, field

from dagster import Config, Failure, OpExecutionContext, ResourceParam, job, op, resource
from pydantic import Field

from daydreaming_dagster.assets.generation_step import EXPERIMENT_TAG
from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.domain.stages import STEPS, Stage
from daydreaming_dagster.engine.budget import BudgetLimits
from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunOptions, RunReport
from daydreaming_dagster.engine.steps import STEP_FUNCTIONS, StepsReport, find_members_without
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.outcome_recorder import OutcomeRecorder, build_step_record
from daydreaming_dagster.resources.recorder import EventRecorder
from daydreaming_dagster.resources.workspace import WorkspaceResource


@dataclass(slots=True)
class RunBoard:
    """Where a bulk run writes what it does, for whoever started it in the same process.

    Attributes:
        plan: what was to be done; None until it is known.
        report: how it ended; None until it has.
        steps: instead of plan and report, what single steps came to.
    """

    progress: Progress = field(default_factory=Progress)
    plan: Plan | None = None
    report: RunReport | None = None
    steps: StepsReport | None = None


@resource
def unwatched_board() -> RunBoard:
    """A board that nobody looks at; the command line brings its own."""
    return RunBoard()


class CohortRunConfig(Config):
    """Run config of the bulk run."""

    cohort_id: str | None = Field(default=None, description="Which cohort; None takes the one built last.")
    stages: list[str] = Field(default=[str(stage) for stage in Stage], description="Which stages are worked on.")
    steps: list[str] = Field(
        default=list(STEPS), description="Which steps; fewer than all of them are made one after the other."
    )
    gen_ids: list[str] | None = Field(default=None, description="Only these generations; None takes all.")
    retry: list[str] = Field(default=[], description="Reasons of lasting failures that are called again.")
    budget_usd: float | None = Field(default=None, description="Most that this run may spend, USD.")
    budget_tokens: int | None = Field(default=None, description="Most tokens that this run may use.")
    cohort_budget_usd: float | None = Field(
        default=None, description="Most that all runs of the cohort together may spend, USD; it holds from now on."
    )
    cohort_budget_tokens: int | None = Field(
        default=None, description="Most tokens that all runs of the cohort together may use; it holds from now on."
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
        budget = BudgetLimits(
            config.budget_usd, config.budget_tokens, config.cohort_budget_usd, config.cohort_budget_tokens
        )
        opened = workspace.open(config.cohort_id)
        cohort = opened.require_current_cohort()
        run_info = RunInfo(context.run_id, cohort.cohort_id, context.run.tags.get(EXPERIMENT_TAG))
        recorder = EventRecorder(context.instance, context.run)
        if set(config.steps) != set(STEPS):
            run_board.steps = _make_steps(opened, cohort, config, run_info, recorder)
            run_board.steps.require_complete()
            return
        plan = run_board.plan = plan_cohort_run(
            opened,
            cohort,
            stages=[Stage(name) for name in config.stages],
            gen_ids=None if config.gen_ids is None else set(config.gen_ids),
            retry=config.retry,
        )
        context.log.info(f"{plan.size} generations of {cohort.cohort_id} to make")
        with OutcomeRecorder(recorder) as outcomes:
            if missed := outcomes.record_missed(opened.store, plan.done_ids):
                context.log.info(f"{missed} finished generations were unknown to Dagster; they are recorded now")
            options = RunOptions(budget=budget, on_stored=outcomes.record)
            run_board.report = run_cohort(opened, cohort, plan, run_info, progress=run_board.progress, options=options)
    _require_complete(run_board.report)


def _make_steps(
    opened: Workspace, cohort: Cohort, config: CohortRunConfig, run_info: RunInfo, recorder: EventRecorder
) -> StepsReport:
    report = StepsReport()
    for stage in (Stage(name) for name in config.stages):
        for step in (name for name in STEPS if name in config.steps):
            members = find_members_without(opened, cohort, stage, step, config.gen_ids)
            results = STEP_FUNCTIONS[step](opened, opened.recipe(cohort.combinations), members, run_info)
            recorder.record([build_step_record(stage, step, result) for result in results])
            report.add(stage, step, results)
    return report


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
