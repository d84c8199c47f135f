"""Scores of the current cohort as one table."""

from dagster import AssetDep, AssetExecutionContext, MaterializeResult, MetadataValue, asset

from daydreaming_dagster.analysis.parsed_scores import build_parsed_scores
from daydreaming_dagster.assets.partitions import FROM_ITS_PARENT
from daydreaming_dagster.experiments.evaluation_records import EvaluationReader
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource
from daydreaming_dagster.store.tables import write_table


@asset(
    group_name="results_processing",
    kinds={"polars", "csv"},
    deps=[AssetDep("evaluation_parsed", partition_mapping=FROM_ITS_PARENT), "cohort_membership"],
)
def parsed_scores(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per evaluation of the current cohort: its score, or the reason why there is none."""
    with explain_failures():
        opened = workspace.open()
        cohort = opened.require_current_cohort()
        reader = EvaluationReader(opened.store, opened.catalogue)
        table = build_parsed_scores(reader.read_members(cohort.members))
        path = opened.paths.parsing / "parsed_scores.csv"
        write_table(path, table)
    failed = table.filter(table["error"].is_not_null())
    context.log.info(f"{len(table)} evaluations of {cohort.cohort_id}, {len(failed)} without a score")
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(path),
            "cohort_id": cohort.cohort_id,
            "rows": len(table),
            "without_score": len(failed),
            "reasons": MetadataValue.json(dict(failed["error"].value_counts().rows())),
        }
    )
