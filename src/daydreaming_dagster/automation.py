"""Jobs: the bulk run of a cohort, and the report of what the store has; and the sensor on the raw inputs."""

import json
from collections.abc import Mapping, Sequence

from dagster import (
    AssetObservation,
    Config,
    DefaultSensorStatus,
    Failure,
    OpExecutionContext,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    define_asset_job,
    job,
    op,
    resource,
    sensor,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from pydantic import Field

from daydreaming_dagster.assets.generation_step import EXPERIMENT_TAG, build_failure_of_many, build_step_records
from daydreaming_dagster.assets.group_cohorts import COHORT_ASSETS
from daydreaming_dagster.assets.partitions import synchronize_partitions
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.membership import require_valid_parents
from daydreaming_dagster.domain.stages import STEPS, Stage
from daydreaming_dagster.engine.budget import BudgetLimits
from daydreaming_dagster.engine.cohort_run import (
    Choice,
    plan_cohort_run,
    plan_free_steps,
    require_keys,
    run_cohort,
    run_free_steps,
)
from daydreaming_dagster.engine.cohort_status import read_cohort_status
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunOptions, RunReport
from daydreaming_dagster.engine.run_board import RunBoard
from daydreaming_dagster.engine.steps import StepResult
from daydreaming_dagster.experiments.input_stash import stash_active_inputs
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.outcome_recorder import OutcomeRecorder
from daydreaming_dagster.resources.recorder import EventRecorder
from daydreaming_dagster.resources.workspace import WorkspaceResource
from daydreaming_dagster.store.cohort_files import iter_cohort_ids, read_cohort
from daydreaming_dagster.store.input_versions import compute_input_versions
from daydreaming_dagster.store.states import Status

_SENSOR_INTERVAL_S = 10
_CHANGED_TAG = "daydreaming/changed_inputs"


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
        require_valid_parents(cohort.members)
        choice, budget = config.to_choice(), config.to_budget()
        synchronize_partitions(context.instance, opened.paths, cohort)
        experiment_id = context.run.tags.get(EXPERIMENT_TAG)
        if experiment_id is not None:
            stash_active_inputs(opened, experiment_id)
        recorder = EventRecorder(context.instance, context.run)
        run_info = RunInfo(context.run_id, cohort.cohort_id, experiment_id)
        if "raw" in choice.steps:
            plan = run_board.plan = plan_cohort_run(opened, cohort, choice)
            require_keys(opened, cohort, plan)
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
    if report.stopped is not None:
        raise Failure(description=str(report.stopped), allow_retries=False)
    if progress.unfinished:
        reasons = ", ".join(f"{count} {stage} {reason}" for (stage, reason), count in progress.failures.items())
        told = [str(error) for error in report.errors.values()] if progress.left else []
        failed = f"{progress.failed.total()} generations failed{f' ({reasons})' if reasons else ''}"
        waiting = f"{progress.blocked.total()} wait for them, {progress.left.total()} are left to do"
        raise Failure(
            description="\n".join([f"{failed}; {waiting}. Everything else is stored.", *told])
            + "\n  → See `daydreaming status`, then start the run again.",
            allow_retries=False,
        )


@job
def cohort_run() -> None:
    """Drafts, essays and evaluations of a cohort in one run; finished ones are never made twice."""
    make_generations()


class StoreReportConfig(Config):
    """Run config of the report."""

    failures: bool = Field(
        default=False,
        description="Report failed generations, too; the run then ends in failure, as it must.",
    )


@op
def report_store(
    context: OpExecutionContext, config: StoreReportConfig, workspace: WorkspaceResource
) -> dict[str, int]:
    """Tells Dagster of partitions and generations that it does not know, of every cohort; calls nobody."""
    with explain_failures():
        opened = workspace.open()
        recorder = EventRecorder(context.instance, context.run)
        done: dict[Stage, set[str]] = {stage: set() for stage in Stage}
        failed: dict[Stage, set[str]] = {stage: set() for stage in Stage}
        cohort_ids = list(iter_cohort_ids(opened.paths))
        for cohort_id in cohort_ids:
            cohort = read_cohort(opened.paths, cohort_id)
            synchronize_partitions(context.instance, opened.paths, cohort)
            for member, status in read_cohort_status(opened.store, cohort).states:
                if status is Status.DONE:
                    done[member.stage].add(member.gen_id)
                elif status is Status.FAILED:
                    failed[member.stage].add(member.gen_id)
        unknown = {stage: _find_unknown(recorder, stage, gen_ids) for stage, gen_ids in failed.items()}
        with OutcomeRecorder(recorder) as outcomes:
            recorded = outcomes.record_missed(opened.store, done)
            if config.failures:
                outcomes.record_failed(opened.store, unknown)
    failures = sum(len(gen_ids) for gen_ids in unknown.values())
    if config.failures and failures:
        raise Failure(
            description=f"{failures} generations have failed, as the store says; this run shows them as failed.\n"
            "  → Why: daydreaming status",
            allow_retries=False,
        )
    return {"cohorts": len(cohort_ids), "recorded": recorded, "failures": failures}


def _find_unknown(recorder: EventRecorder, stage: Stage, gen_ids: set[str]) -> set[str]:
    if not gen_ids:
        return set()
    return recorder.find_unattempted(f"{stage}_raw", gen_ids) | (
        recorder.find_unattempted(f"{stage}_parsed", gen_ids) - recorder.find_unrecorded(f"{stage}_raw", gen_ids)
    )


@job
def store_report() -> None:
    """What the store has and Dagster does not know: after its home was deleted, or files came from elsewhere."""
    report_store()


cohort_assets = define_asset_job(
    "cohort_assets",
    selection=list(COHORT_ASSETS),
    description="The cohort that the inputs describe, and its partitions. Calls no model.",
)


@sensor(
    job=cohort_assets,
    minimum_interval_seconds=_SENSOR_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
)
def raw_inputs_changed(context: SensorEvaluationContext, workspace: WorkspaceResource) -> SensorResult:
    """Builds the cohort anew when files under `1_raw` or `2_tasks` have changed and then been left alone."""
    versions = compute_input_versions(workspace.open().paths)
    cursor = json.loads(context.cursor) if context.cursor else None
    if cursor is None:
        return _remember(versions, versions, "The inputs are watched from now on.", observed=versions)
    if versions == cursor["built"]:
        return _remember(versions, versions, "Nothing has changed.")
    if versions != cursor["seen"]:
        return _remember(cursor["built"], versions, "The inputs are changing; waiting until they are left alone.")
    changed = {name: version for name, version in versions.items() if cursor["built"].get(name) != version}
    return SensorResult(
        run_requests=[RunRequest(tags={_CHANGED_TAG: ",".join(sorted(changed))})],
        cursor=json.dumps({"built": versions, "seen": versions}),
        asset_events=_observe(changed),
    )


def _remember(
    built: Mapping[str, str], seen: Mapping[str, str], why: str, observed: Mapping[str, str] | None = None
) -> SensorResult:
    return SensorResult(
        skip_reason=why,
        cursor=json.dumps({"built": built, "seen": seen}),
        asset_events=_observe(observed or {}),
    )


def _observe(versions: Mapping[str, str]) -> list[AssetObservation]:
    return [AssetObservation(name, tags={DATA_VERSION_TAG: version}) for name, version in versions.items()]
