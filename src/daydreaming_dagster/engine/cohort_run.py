"""The main job below Dagster: everything of a cohort that is not done yet, in one run."""

from __future__ import annotations

from collections.abc import Collection

from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Plan, build_plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.run import RunOptions, RunReport, run_plan
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.index import Index


def plan_cohort_run(
    workspace: Workspace,
    cohort: Cohort,
    *,
    stages: Collection[Stage] = tuple(Stage),
    gen_ids: Collection[str] | None = None,
    retry: Collection[str] = (),
) -> Plan:
    """What a run would do; reads the store and writes nothing.

    Args:
        workspace: the data root.
        cohort: whose generations are made.
        stages: only these stages are worked on; parents of other stages must be done.
        gen_ids: only these generations; None takes all.
        retry: reasons of lasting failures that are called again.
    """

    index = Index(workspace.store)
    try:
        states = {stage: index.states(stage) for stage in stages}
    finally:
        index.close()
    chosen = [
        member for member in cohort.members if member.stage in stages and (gen_ids is None or member.gen_id in gen_ids)
    ]
    return build_plan(chosen, lambda member: states[member.stage](member.gen_id), retry=retry)


def run_cohort(
    workspace: Workspace,
    cohort: Cohort,
    plan: Plan,
    run_info: RunInfo,
    *,
    progress: Progress | None = None,
    options: RunOptions | None = None,
) -> RunReport:
    """Runs the plan of a cohort; see `run_plan`."""
    return run_plan(
        workspace.recipe(cohort.combinations),
        plan,
        run_info,
        environ=workspace.environ,
        progress=progress,
        options=options,
    )
