"""The cohort: which concepts are combined, and which drafts, essays and evaluations follow. Calls no model.

`cohort_id` and `cohort_membership` alone are enough on a fresh clone; the other three show the way there.
"""

import os
from collections.abc import Sequence

from dagster import AssetExecutionContext, Config, MaterializeResult, MetadataValue, Output, asset
from pydantic import Field

from daydreaming_dagster.assets.generation_step import EXPERIMENT_TAG
from daydreaming_dagster.assets.partitions import PARTITIONS, synchronize_partitions
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.prompts import build_concept_texts
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.input_stash import stash_active_inputs
from daydreaming_dagster.resources.dagster_home import HOME_VARIABLE
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource
from daydreaming_dagster.store.blueprints import read_selection
from daydreaming_dagster.store.combinations import write_selected_combinations

COHORT_GROUP = "cohort"
COHORT_ASSETS = (
    "selected_combo_mappings",
    "content_combinations",
    "cohort_id",
    "cohort_membership",
    "register_cohort_partitions",
)
_SHOWN_COMBINATIONS = 50
_FORGETFUL = (
    "DAGSTER_HOME is not set: Dagster forgets these partitions when the command ends. "
    'Run `make setup`, or: export DAGSTER_HOME="$(pwd)/dagster_home"'
)


class CohortIdConfig(Config):
    """Run config of `cohort_id`."""

    override: str | None = Field(default=None, description="Name for the cohort instead of the computed id.")


@asset(group_name=COHORT_GROUP, kinds={"csv"}, deps=["concepts", "selection_files"])
def selected_combo_mappings(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """Which concepts go together: generated from the active concepts, or your own file when you have edited it.

    Where `selected_essays.txt` or `selected_drafts.txt` exists, it decides, and this table is left as it is.
    """
    with explain_failures():
        opened = workspace.open()
        chosen = read_selection(opened.paths)
        if chosen is not None:
            context.log.info(f"{chosen.file} decides what the cohort is made of; this table is not used.")
            return MaterializeResult(metadata={"decided_by": chosen.file})
        selection = write_selected_combinations(opened.paths, opened.catalogue, opened.config)
    if selection.note:
        context.log.info(selection.note)
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(opened.paths.selected_combos_csv),
            "combinations": len(selection.combinations),
            "edited_by_hand": selection.curated,
        }
    )


@asset(group_name=COHORT_GROUP, kinds={"text"}, deps=[selected_combo_mappings])
def content_combinations(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The cohort's combinations with the texts of their concepts that draft prompts will show."""
    with explain_failures():
        opened = workspace.open()
        combinations = list(opened.plan_cohort().combinations.values())
    return MaterializeResult(
        metadata={
            "combinations": len(combinations),
            "registry": MetadataValue.path(opened.paths.combo_registry_csv),
            "first_combinations": MetadataValue.md(_tabulate(combinations[:_SHOWN_COMBINATIONS])),
            "first_texts": MetadataValue.md(_show_texts(opened, combinations[:1])),
        }
    )


@asset(
    group_name=COHORT_GROUP,
    kinds={"json"},
    io_manager_key="cohort_id_io_manager",
    deps=[
        content_combinations,
        "draft_templates",
        "essay_templates",
        "evaluation_templates",
        "llm_models",
        "replication_config",
        "selection_files",
    ],
)
def cohort_id(context: AssetExecutionContext, config: CohortIdConfig, workspace: WorkspaceResource) -> Output[str]:
    """Name of the cohort, computed from everything that decides its membership, and its manifest."""
    with explain_failures():
        opened = workspace.open(config.override)
        plan = opened.build_cohort()
        experiment_id = context.run.tags.get(EXPERIMENT_TAG)
        stash = None if experiment_id is None else stash_active_inputs(opened, experiment_id)
    for note in plan.notes:
        context.log.info(note)
    return Output(
        plan.cohort_id,
        metadata={
            "cohort_id": plan.cohort_id,
            "manifest": MetadataValue.path(opened.paths.manifest(plan.cohort_id)),
            "unchanged": plan.unchanged,
            **({} if stash is None else {"active_inputs": MetadataValue.path(stash)}),
            **{f"{stage}s": sum(1 for member in plan.members if member.stage is stage) for stage in Stage},
        },
    )


@asset(group_name=COHORT_GROUP, kinds={"csv"})
def cohort_membership(
    context: AssetExecutionContext, workspace: WorkspaceResource, cohort_id: str
) -> MaterializeResult[None]:
    """The cohort's generations, one row each, and their partitions registered with Dagster."""
    with explain_failures():
        opened = workspace.open(cohort_id)
        cohort = opened.require_current_cohort()
        counts = synchronize_partitions(context.instance, opened.paths, cohort)
    if context.instance.is_ephemeral or not os.environ.get(HOME_VARIABLE):
        context.log.warning(_FORGETFUL)
    return MaterializeResult(
        metadata={
            "cohort_id": cohort.cohort_id,
            "path": MetadataValue.path(opened.paths.membership(cohort.cohort_id)),
            "rows": len(cohort.members),
            **counts,
        }
    )


@asset(group_name=COHORT_GROUP, kinds={"partitions"}, deps=[cohort_membership])
def register_cohort_partitions(
    context: AssetExecutionContext, workspace: WorkspaceResource, cohort_id: str
) -> MaterializeResult[None]:
    """Dagster's partitions brought in line with the cohort: what is missing is added, what went stale is pruned."""
    with explain_failures():
        opened = workspace.open(cohort_id)
        cohort = opened.require_current_cohort()
        counts = synchronize_partitions(context.instance, opened.paths, cohort)
    registered = {
        f"{stage}_partitions": len(context.instance.get_dynamic_partitions(str(definition.name)))
        for stage, definition in PARTITIONS.items()
    }
    return MaterializeResult(metadata={"cohort_id": cohort.cohort_id, **counts, **registered})


def _tabulate(combinations: Sequence[Combination]) -> str:
    rows = [f"| `{combination.combo_id}` | {', '.join(combination.concept_ids)} |" for combination in combinations]
    return "\n".join(["| combo_id | concepts |", "|---|---|", *rows])


def _show_texts(workspace: Workspace, combinations: Sequence[Combination]) -> str:
    known = workspace.catalogue.concepts
    return "\n\n".join(
        f"**{text['name']}**: {text['content']}"
        for combination in combinations
        for text in build_concept_texts(
            [known[concept_id] for concept_id in combination.concept_ids if concept_id in known],
            combination.description_level,
        )
    )
