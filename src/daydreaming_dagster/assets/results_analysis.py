"""Statistics on the current cohort's ratings: what they say, and how far they can be trusted."""

from dagster import MaterializeResult, asset

from daydreaming_dagster.assets.partitions import AFTER_ESSAYS
from daydreaming_dagster.assets.result_table import describe_table
from daydreaming_dagster.assets.results_processing import parsed_scores
from daydreaming_dagster.experiments.result_tables import (
    write_budget,
    write_concept_effects,
    write_diversity,
    write_rarefaction,
    write_rating_table,
    write_ratings_long,
)
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource

RESULTS_ANALYSIS = "results_analysis"


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[parsed_scores, "llm_models", "evaluation_templates"])
def ratings_long(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """One row per rating with everything known about it; all statistics start here."""
    with explain_failures():
        return describe_table(write_ratings_long(workspace.open()))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long])
def rating_health(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Per judge and rubric: what is missing, piled up at an end of the scale, too strict or merely long."""
    with explain_failures():
        return describe_table(write_rating_table(workspace.open(), "rating_health"))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long])
def agreement(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Whether the judges agree: Krippendorff's alpha, ICC, Kendall's W, kappa, with intervals."""
    with explain_failures():
        return describe_table(write_rating_table(workspace.open(), "agreement"))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long])
def variance_components(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """How much of a score is the essay, the rubric, the judge, and chance (G study)."""
    with explain_failures():
        return describe_table(write_rating_table(workspace.open(), "variance_components"))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long])
def d_study(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """How many judges and replicates a wanted reliability takes, and what such a panel costs."""
    with explain_failures():
        return describe_table(write_rating_table(workspace.open(), "d_study"))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long])
def ranking(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Essays and combinations: raw and shrunken estimates, intervals, probability of being among the best."""
    with explain_failures():
        return describe_table(write_rating_table(workspace.open(), "ranking"))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long])
def judge_card(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Per judge: severity, preference for its own family, length slope, noise, ceiling."""
    with explain_failures():
        return describe_table(write_rating_table(workspace.open(), "judge_card"))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ratings_long, "content_combinations"])
def concept_effects(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Which concepts, and which pairs of them, make combinations better."""
    with explain_failures():
        return describe_table(write_concept_effects(workspace.open()))


@asset(
    group_name=RESULTS_ANALYSIS,
    kinds={"polars", "csv"},
    deps=[AFTER_ESSAYS, "cohort_membership"],
)
def diversity(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """How different the essays of each model and template are from each other, at equal numbers."""
    with explain_failures():
        return describe_table(write_diversity(workspace.open()))


@asset(
    group_name=RESULTS_ANALYSIS,
    kinds={"polars", "csv"},
    deps=[AFTER_ESSAYS, "cohort_membership"],
)
def rarefaction(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """How many different essays a sample of each size holds."""
    with explain_failures():
        return describe_table(write_rarefaction(workspace.open()))


@asset(group_name=RESULTS_ANALYSIS, kinds={"polars", "csv"}, deps=[ranking])
def budget(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Calls, tokens, cost and time by stage, model and template, and what an accepted idea cost."""
    with explain_failures():
        return describe_table(write_budget(workspace.open()))
