"""What Dagster is given, spelled by hand: whoever changes it has to change it here, too."""

from __future__ import annotations

import warnings

import pytest
from dagster import AssetKey

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from daydreaming_dagster import definitions

GROUPS = {
    "raw_data": {
        "concepts", "draft_templates", "essay_templates", "evaluation_templates", "llm_models", "replication_config",
        "selection_files",
    },
    "cohort": {
        "selected_combo_mappings", "content_combinations", "cohort_id", "cohort_membership",
        "register_cohort_partitions",
    },
    "generation_draft": {"draft_prompt", "draft_raw", "draft_parsed"},
    "generation_essays": {"essay_prompt", "essay_raw", "essay_parsed"},
    "evaluation": {"evaluation_prompt", "evaluation_raw", "evaluation_parsed"},
    "results_processing": {"parsed_scores"},
    "results_summary": {
        "generation_scores_pivot", "final_results", "perfect_score_paths", "evaluation_model_template_pivot",
        "evaluator_agreement_analysis", "comprehensive_variance_analysis",
    },
    "cross_experiment": {
        "aggregated_scores", "filtered_evaluation_results", "template_version_comparison_pivot",
        "evaluation_scores_by_template_model",
    },
}  # fmt: skip
"""The groups that the guide names; analysis and plots may grow without anybody relying on their members."""

EDGES = [
    ("concepts", "selected_combo_mappings"),
    ("selected_combo_mappings", "content_combinations"),
    ("content_combinations", "cohort_id"),
    ("replication_config", "cohort_id"),
    ("cohort_id", "cohort_membership"),
    ("cohort_membership", "draft_prompt"),
    ("content_combinations", "draft_prompt"),
    ("draft_prompt", "draft_raw"),
    ("llm_models", "draft_raw"),
    ("draft_raw", "draft_parsed"),
    ("draft_parsed", "essay_prompt"),
    ("essay_parsed", "evaluation_prompt"),
    ("evaluation_raw", "evaluation_parsed"),
    ("evaluation_parsed", "parsed_scores"),
    ("parsed_scores", "generation_scores_pivot"),
    ("evaluation_parsed", "aggregated_scores"),
]


@pytest.fixture(scope="module")
def graph() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return definitions.defs.resolve_asset_graph()


def test_the_groups_hold_what_the_guide_says(graph) -> None:  # type: ignore[no-untyped-def]
    found: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        found.setdefault(graph.get(key).group_name, set()).add(key.to_user_string())
    assert {group: found[group] for group in GROUPS} == GROUPS


@pytest.mark.parametrize(("above", "below"), EDGES)
def test_what_follows_from_what_can_be_seen_in_the_graph(graph, above: str, below: str) -> None:  # type: ignore[no-untyped-def]
    assert AssetKey(above) in graph.get(AssetKey(below)).parent_keys


def test_every_asset_says_what_it_is(graph) -> None:  # type: ignore[no-untyped-def]
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.group_name == "raw_data" or node.kinds, key


def test_jobs_checks_and_sensor_are_there() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repository = definitions.defs.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} >= {"cohort_run", "cohort_assets", "store_report"}
    assert [sensor.name for sensor in repository.sensor_defs] == ["raw_inputs_changed"]
    assert {check.check_key.name for check in definitions.CHECKS} == {
        "partitions_match_membership",
        "parents_are_members",
        "scores_are_on_their_scales",
        "cohort_is_complete",
    }
