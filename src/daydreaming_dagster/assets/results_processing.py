"""Scores of the current cohort as one table."""

from dagster import MaterializeResult, MetadataValue, asset

from daydreaming_dagster.assets.partitions import AFTER_EVALUATIONS
from daydreaming_dagster.assets.result_table import describe_table
from daydreaming_dagster.experiments.result_tables import write_parsed_scores
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource

RESULTS_PROCESSING = "results_processing"


@asset(
    group_name=RESULTS_PROCESSING,
    kinds={"polars", "csv"},
    deps=[AFTER_EVALUATIONS, "cohort_membership"],
)
def parsed_scores(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per evaluation of the current cohort: its score, or the reason why there is none."""
    with explain_failures():
        written = write_parsed_scores(workspace.open())
    failed = written.table.filter(written.table["error"].is_not_null())
    reasons = MetadataValue.json(dict(failed["error"].value_counts().rows()))
    return describe_table(written, without_score=len(failed), reasons=reasons)
