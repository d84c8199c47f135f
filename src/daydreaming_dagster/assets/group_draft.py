"""Drafts: a model brainstorms on a combination of concepts. One partition per draft, by gen_id."""

from dagster import AssetExecutionContext, BackfillPolicy, MaterializeResult, asset

from daydreaming_dagster.assets.generation_step import materialize_step
from daydreaming_dagster.assets.partitions import DRAFTS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.steps import materialize_parsed, materialize_prompts, materialize_raw
from daydreaming_dagster.resources.workspace import WorkspaceResource


@asset(
    group_name="generation_draft",
    kinds={"text"},
    partitions_def=DRAFTS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=["content_combinations", "cohort_membership", "draft_templates", "concepts"],
)
def draft_prompt(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The draft template, filled with the combination's concepts. Always rendered anew, from today's template."""
    return materialize_step(context, workspace, Stage.DRAFT, materialize_prompts)


@asset(
    group_name="generation_draft",
    kinds={"llm"},
    partitions_def=DRAFTS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[draft_prompt, "llm_models"],
)
def draft_raw(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """What the model answered, untouched. A stored answer to the same request is reused; older ones are kept."""
    return materialize_step(context, workspace, Stage.DRAFT, materialize_raw)


@asset(
    group_name="generation_draft",
    kinds={"text"},
    partitions_def=DRAFTS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[draft_raw],
)
def draft_parsed(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """What the next step reads of the answer: the parser's output. Calls nobody."""
    return materialize_step(context, workspace, Stage.DRAFT, materialize_parsed)
