"""Whether membership, partitions and the store agree; each check can fail, and says what mends it."""

from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetCheckSeverity, MetadataValue, asset_check

from daydreaming_dagster.assets.partitions import PARTITIONS
from daydreaming_dagster.domain.membership import REBUILD_COMMAND
from daydreaming_dagster.experiments.result_tables import MAKE_RESULTS, parsed_scores_path
from daydreaming_dagster.experiments.scores_on_disk import read_scores
from daydreaming_dagster.experiments.store_checks import (
    CheckResult,
    check_coverage,
    check_membership,
    check_scores,
    read_summaries,
)
from daydreaming_dagster.resources.cohort_id_io import find_cohort_built_in
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource
from daydreaming_dagster.store.registrations import find_stale_gen_ids

_SHOWN_CULPRITS = 20


@asset_check(
    asset="cohort_membership", description="Every generation of the cohort is a partition, and no stale one is."
)
def partitions_match_membership(context: AssetCheckExecutionContext, workspace: WorkspaceResource) -> AssetCheckResult:
    """Every generation of the cohort is a partition, and no stale partition is left."""
    with explain_failures():
        opened = workspace.open(find_cohort_built_in(context.instance, context.run.run_id))
        cohort = opened.require_current_cohort()
        stale = find_stale_gen_ids(opened.paths, cohort)
    missing: list[str] = []
    left: list[str] = []
    for stage, definition in PARTITIONS.items():
        known = set(context.instance.get_dynamic_partitions(str(definition.name)))
        missing += [m.gen_id for m in cohort.members if m.stage is stage and m.gen_id not in known]
        left += sorted(known & stale)
    return _to_dagster(
        CheckResult(
            "partitions",
            f"{len(missing)} generations of {cohort.cohort_id} have no partition, {len(left)} partitions are stale",
            [*missing, *left],
            f"{REBUILD_COMMAND}, or for all cohorts at once: daydreaming sync",
        )
    )


@asset_check(
    asset="cohort_membership", description="Every row's parent is a row of the cohort, and no id stands twice."
)
def parents_are_members(context: AssetCheckExecutionContext, workspace: WorkspaceResource) -> AssetCheckResult:
    """Every row's parent is a row of the cohort, and no id stands twice."""
    with explain_failures():
        opened = workspace.open(find_cohort_built_in(context.instance, context.run.run_id))
        return _to_dagster(check_membership(opened.require_current_cohort()))


@asset_check(asset="parsed_scores")
def scores_are_on_their_scales(workspace: WorkspaceResource) -> AssetCheckResult:
    """Every evaluation that is done has a score on its rubric's scale."""
    with explain_failures():
        scores = read_scores(parsed_scores_path(workspace.open().paths), MAKE_RESULTS)
        return _to_dagster(check_scores(scores))


@asset_check(asset="parsed_scores")
def cohort_is_complete(workspace: WorkspaceResource) -> AssetCheckResult:
    """Every generation of the cohort is made; only a warning, because tables of half a cohort are allowed."""
    with explain_failures():
        opened = workspace.open()
        return _to_dagster(check_coverage(opened.require_current_cohort(), read_summaries(opened.store)))


def _to_dagster(result: CheckResult) -> AssetCheckResult:
    return AssetCheckResult(
        passed=result.passed,
        severity=AssetCheckSeverity.ERROR if result.is_error else AssetCheckSeverity.WARN,
        description=result.what if result.passed else f"{result.what}\n  → {result.fix}",
        metadata={
            "count": len(result.culprits),
            "first": MetadataValue.json(list(result.culprits[:_SHOWN_CULPRITS])),
        },
    )
