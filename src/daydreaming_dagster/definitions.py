"""Wiring only: settings → resources → assets, checks, jobs, sensors."""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import AssetsDefinition, Definitions, SourceAsset, in_process_executor, multiprocess_executor

from daydreaming_dagster.assets import (
    cross_experiment,
    group_cohorts,
    group_draft,
    group_essay,
    group_evaluation,
    raw_data,
    reporting,
    results_analysis,
    results_processing,
    results_summary,
)
from daydreaming_dagster.automation import (
    cohort_assets,
    cohort_run,
    raw_inputs_changed,
    store_report,
    unwatched_board,
)
from daydreaming_dagster.checks import cohort_checks
from daydreaming_dagster.resources.cohort_id_io import CohortIdIOManager
from daydreaming_dagster.resources.explorer_links import link_assets
from daydreaming_dagster.resources.workspace import ExperimentConfigResource, WorkspaceResource
from daydreaming_dagster.settings import Settings

RAW_INPUTS = raw_data.RAW_INPUTS
ASSETS: Sequence[AssetsDefinition | SourceAsset] = [
    *RAW_INPUTS,
    group_cohorts.selected_combo_mappings,
    group_cohorts.content_combinations,
    group_cohorts.cohort_id,
    group_cohorts.cohort_membership,
    group_cohorts.register_cohort_partitions,
    group_draft.draft_prompt,
    group_draft.draft_raw,
    group_draft.draft_parsed,
    group_essay.essay_prompt,
    group_essay.essay_raw,
    group_essay.essay_parsed,
    group_evaluation.evaluation_prompt,
    group_evaluation.evaluation_raw,
    group_evaluation.evaluation_parsed,
    results_processing.parsed_scores,
    results_summary.generation_scores_pivot,
    results_summary.final_results,
    results_summary.perfect_score_paths,
    results_summary.evaluation_model_template_pivot,
    results_summary.evaluator_agreement_analysis,
    results_summary.comprehensive_variance_analysis,
    results_analysis.ratings_long,
    results_analysis.rating_health,
    results_analysis.agreement,
    results_analysis.variance_components,
    results_analysis.d_study,
    results_analysis.ranking,
    results_analysis.judge_card,
    results_analysis.concept_effects,
    results_analysis.diversity,
    results_analysis.rarefaction,
    results_analysis.budget,
    reporting.result_plots,
    reporting.report,
    cross_experiment.aggregated_scores,
    cross_experiment.filtered_evaluation_results,
    cross_experiment.template_version_comparison_pivot,
    cross_experiment.evaluation_scores_by_template_model,
]


CHECKS = [
    cohort_checks.partitions_match_membership,
    cohort_checks.parents_are_members,
    cohort_checks.scores_are_on_their_scales,
    cohort_checks.cohort_is_complete,
]


def build_resources(experiment_config: Any) -> dict[str, object]:
    """The resources of every run, over an `ExperimentConfigResource` or one that run config completes."""
    workspace = WorkspaceResource(experiment_config=experiment_config)
    return {
        "experiment_config": experiment_config,
        "workspace": workspace,
        "cohort_id_io_manager": CohortIdIOManager(workspace=workspace),
        "run_board": unwatched_board,
    }


def build_definitions(resources: Mapping[str, object]) -> Definitions:
    """Everything, over these resources (`build_resources`)."""
    return Definitions(
        assets=link_assets(ASSETS),
        asset_checks=CHECKS,
        jobs=[cohort_run, cohort_assets, store_report],
        sensors=[raw_inputs_changed],
        resources=resources,
        # One interpreter start per step costs more than most steps; DD_EXECUTOR=multiprocess brings the processes back.
        executor=multiprocess_executor if Settings().executor == "multiprocess" else in_process_executor,
    )


defs = build_definitions(build_resources(ExperimentConfigResource.configure_at_launch()))
