"""Summaries of the current cohort's scores."""

from dagster import MaterializeResult, asset

from daydreaming_dagster.assets.result_table import describe_table
from daydreaming_dagster.assets.results_processing import parsed_scores
from daydreaming_dagster.experiments.result_tables import write_summary_table
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource

RESULTS_SUMMARY = "results_summary"


@asset(group_name=RESULTS_SUMMARY, kinds={"polars", "csv"}, deps=[parsed_scores])
def generation_scores_pivot(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per essay, one column per judge model and evaluation template."""
    with explain_failures():
        return describe_table(write_summary_table(workspace.open(), "generation_scores_pivot"))


@asset(group_name=RESULTS_SUMMARY, kinds={"polars", "csv"}, deps=[parsed_scores])
def final_results(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Count, average, spread and shares of high and low scores, by template, model and combination."""
    with explain_failures():
        return describe_table(write_summary_table(workspace.open(), "final_results"))


@asset(group_name=RESULTS_SUMMARY, kinds={"polars", "csv"}, deps=[parsed_scores])
def perfect_score_paths(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Evaluations at the top of their scale, with the paths of the essays."""
    with explain_failures():
        return describe_table(write_summary_table(workspace.open(), "perfect_score_paths"))


@asset(group_name=RESULTS_SUMMARY, kinds={"polars", "csv"}, deps=[parsed_scores])
def evaluation_model_template_pivot(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per essay: mean and count for each judge model and evaluation template."""
    with explain_failures():
        return describe_table(write_summary_table(workspace.open(), "evaluation_model_template_pivot"))


@asset(group_name=RESULTS_SUMMARY, kinds={"polars", "csv"}, deps=[parsed_scores])
def evaluator_agreement_analysis(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """How far the evaluators of one essay lie apart."""
    with explain_failures():
        return describe_table(write_summary_table(workspace.open(), "evaluator_agreement_analysis"))


@asset(group_name=RESULTS_SUMMARY, kinds={"polars", "csv"}, deps=[parsed_scores])
def comprehensive_variance_analysis(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Where scores vary: between judges, between rubrics, between replicates."""
    with explain_failures():
        return describe_table(write_summary_table(workspace.open(), "comprehensive_variance_analysis"))
