"""Essays: the model of a draft composes an essay from it. One partition per essay, by gen_id."""

from dagster import AssetExecutionContext, BackfillPolicy, MaterializeResult, asset

from daydreaming_dagster.assets.generation_step import materialize_step
from daydreaming_dagster.assets.partitions import AFTER_DRAFTS, ESSAYS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.steps import materialize_parsed, materialize_prompts, materialize_raw
from daydreaming_dagster.resources.workspace import WorkspaceResource


@asset(
    group_name="generation_essays",
    kinds={"text"},
    partitions_def=ESSAYS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AFTER_DRAFTS, "cohort_membership", "essay_templates"],
)
def essay_prompt(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The essay template, filled with the parent draft's parsed text. Always rendered anew, from today's template."""
    return materialize_step(context, workspace, Stage.ESSAY, materialize_prompts)


@asset(
    group_name="generation_essays",
    kinds={"llm"},
    partitions_def=ESSAYS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[essay_prompt, "llm_models"],
)
def essay_raw(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """What the model answered, untouched. A stored answer to the same request is reused; older ones are kept."""
    return materialize_step(context, workspace, Stage.ESSAY, materialize_raw)


@asset(
    group_name="generation_essays",
    kinds={"text"},
    partitions_def=ESSAYS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[essay_raw],
)
def essay_parsed(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """What the next step reads of the answer: the parser's output. Calls nobody."""
    return materialize_step(context, workspace, Stage.ESSAY, materialize_parsed)
