"""Tables over the whole store, whatever the cohort."""

from dagster import MaterializeResult, asset

from daydreaming_dagster.assets.partitions import AFTER_EVALUATIONS
from daydreaming_dagster.assets.result_table import describe_table
from daydreaming_dagster.experiments.result_tables import write_aggregated_scores, write_cross_table
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource

CROSS_EXPERIMENT = "cross_experiment"


@asset(
    group_name=CROSS_EXPERIMENT,
    kinds={"polars", "csv"},
    deps=[AFTER_EVALUATIONS],
)
def aggregated_scores(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per evaluation of the whole store: its score, or the reason why there is none."""
    with explain_failures():
        return describe_table(write_aggregated_scores(workspace.open()))


@asset(group_name=CROSS_EXPERIMENT, kinds={"polars", "csv"}, deps=[aggregated_scores])
def filtered_evaluation_results(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The scores of the whole store, one row per evaluation, failed ones included."""
    with explain_failures():
        return describe_table(write_cross_table(workspace.open(), "filtered_evaluation_results"))


@asset(group_name=CROSS_EXPERIMENT, kinds={"polars", "csv"}, deps=[aggregated_scores])
def template_version_comparison_pivot(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per judging of an essay, one column per version of a rubric."""
    with explain_failures():
        return describe_table(write_cross_table(workspace.open(), "template_version_comparison_pivot"))


@asset(group_name=CROSS_EXPERIMENT, kinds={"polars", "csv"}, deps=[aggregated_scores])
def evaluation_scores_by_template_model(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per essay, one column per rubric and judge model."""
    with explain_failures():
        return describe_table(write_cross_table(workspace.open(), "evaluation_scores_by_template_model"))
