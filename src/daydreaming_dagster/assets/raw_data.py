"""The raw inputs as observable source assets: their data version is a hash of their content."""

from collections.abc import Mapping

from dagster import DataVersion, SourceAsset, observable_source_asset

from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource
from daydreaming_dagster.store.input_versions import compute_input_versions

RAW_INPUT_DESCRIPTIONS: Mapping[str, str] = {
    "concepts": "Concepts and their descriptions: `1_raw/concepts_metadata.csv`, `1_raw/concepts/`.",
    "draft_templates": "Draft templates: `1_raw/draft_templates.csv` and their texts.",
    "essay_templates": "Essay templates: `1_raw/essay_templates.csv` and their texts.",
    "evaluation_templates": "Rubrics: `1_raw/evaluation_templates.csv` and their texts.",
    "llm_models": "Models, endpoints and pools: `1_raw/llm_*.csv`.",
    "replication_config": "How often each stage is repeated: `1_raw/replication_config.csv`.",
    "selection_files": "Curated selections: `2_tasks/selected_*`.",
}


def _build_raw_input(name: str, description: str) -> SourceAsset:
    @observable_source_asset(name=name, group_name="raw_data", description=description)
    def observe(workspace: WorkspaceResource) -> DataVersion:
        with explain_failures():
            return DataVersion(compute_input_versions(workspace.open().paths)[name])

    return observe


RAW_INPUTS = [_build_raw_input(name, description) for name, description in RAW_INPUT_DESCRIPTIONS.items()]
