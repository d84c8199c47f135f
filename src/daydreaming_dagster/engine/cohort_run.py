"""The main job below Dagster: everything of a cohort that is not done yet, in one run."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.forecast import Forecast, build_record, forecast_plan
from daydreaming_dagster.engine.plan import Plan, build_plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunOptions, RunReport, run_plan
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store import files
from daydreaming_dagster.store.index import Index
from daydreaming_dagster.store.ledger import Ledger


class CohortRows(Protocol):
    """A cohort on disk, or one that is only planned."""

    @property
    def members(self) -> Sequence[Member]:
        """Drafts, then essays, then evaluations."""
        ...

    @property
    def combinations(self) -> Mapping[str, Combination]:
        """By combo_id."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which generations of a cohort a run is about.

    Attributes:
        stages: only these are worked on; parents of other stages must be done.
        gen_ids: only these; None takes all.
        retry: reasons of lasting failures that are called again.
    """

    stages: Collection[Stage] = tuple(Stage)
    gen_ids: Collection[str] | None = None
    retry: Collection[str] = ()


def plan_cohort_run(
    workspace: Workspace,
    cohort: CohortRows,
    *,
    stages: Collection[Stage] = tuple(Stage),
    gen_ids: Collection[str] | None = None,
    retry: Collection[str] = (),
) -> Plan:
    """What a run would do; of the store it touches nothing but the index.

    Args:
        workspace: the data root.
        cohort: whose generations are made.
        stages: only these stages are worked on; parents of other stages must be done.
        gen_ids: only these generations; None takes all.
        retry: reasons of lasting failures that are called again.
    """
    index = Index(workspace.store)
    try:
        return _plan(index, cohort, Choice(stages, gen_ids, retry))
    finally:
        index.close()


def forecast_cohort_run(
    workspace: Workspace, cohort: CohortRows, choice: Choice | None = None
) -> tuple[Plan, Forecast]:
    """What a run would do and what it would take; writes nothing and calls nobody.

    Args:
        workspace: the data root.
        cohort: whose generations would be made; it need not be written yet.
        choice: which of them.
    """
    index = Index(workspace.store, read_only=True)
    ledger = Ledger(workspace.paths) if workspace.paths.ledger.exists() else None
    try:
        plan = _plan(index, cohort, choice or Choice())
        return plan, forecast_plan(workspace.recipe(cohort.combinations), plan, index, ledger)
    finally:
        index.close()
        if ledger is not None:
            ledger.close()


def run_cohort(
    workspace: Workspace,
    cohort: CohortRows,
    plan: Plan,
    run_info: RunInfo,
    *,
    progress: Progress | None = None,
    options: RunOptions | None = None,
) -> RunReport:
    """Runs the plan of a cohort, and keeps what was expected of it beside what came (see `run_plan`)."""
    recipe = workspace.recipe(cohort.combinations)
    if plan.size == 0:
        return run_plan(recipe, plan, run_info, environ=workspace.environ, progress=progress, options=options)
    index, ledger = Index(workspace.store), Ledger(workspace.paths)
    try:
        forecast = forecast_plan(recipe, plan, index, ledger)
    finally:
        index.close()
        ledger.close()
    report = run_plan(recipe, plan, run_info, environ=workspace.environ, progress=progress, options=options)
    facts = {"run_id": run_info.run_id, "cohort_id": run_info.cohort_id, "ended_at": time.time()}
    facts["was_complete"] = report.stopped is None
    record = build_record(forecast, report.progress, report.duration_s, facts)
    files.write_json(workspace.paths.forecasts / f"{run_info.run_id}.json", record)
    report.forecast = forecast
    return report


def _plan(index: Index, cohort: CohortRows, choice: Choice) -> Plan:
    states = {stage: index.states(stage) for stage in choice.stages}
    chosen = [
        member
        for member in cohort.members
        if member.stage in choice.stages and (choice.gen_ids is None or member.gen_id in choice.gen_ids)
    ]
    return build_plan(chosen, lambda member: states[member.stage](member.gen_id), retry=choice.retry)
