"""Summaries of the current cohort's scores."""

from dagster import MaterializeResult, MetadataValue, asset

from daydreaming_dagster.analysis.pivots import build_generation_scores_pivot
from daydreaming_dagster.assets.results_processing import parsed_scores
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource
from daydreaming_dagster.store.tables import read_table, write_table

_MAKE_SCORES = "daydreaming materialize --select parsed_scores"


@asset(group_name="results_summary", kinds={"polars", "csv"}, deps=[parsed_scores])
def generation_scores_pivot(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per essay, one column per judge model and evaluation template."""
    with explain_failures():
        paths = workspace.open().paths
        table = build_generation_scores_pivot(read_table(paths.parsing / "parsed_scores.csv", _MAKE_SCORES))
        path = paths.summary / "generation_scores_pivot.csv"
        write_table(path, table)
    return MaterializeResult(metadata={"path": MetadataValue.path(path), "rows": len(table)})
