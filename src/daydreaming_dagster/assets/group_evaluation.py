"""Evaluations: judge models read an essay with a rubric and score it. One partition per evaluation, by gen_id."""

from dagster import AssetExecutionContext, BackfillPolicy, MaterializeResult, asset

from daydreaming_dagster.assets.generation_step import materialize_step
from daydreaming_dagster.assets.partitions import AFTER_ESSAYS, EVALUATIONS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.steps import materialize_parsed, materialize_prompts, materialize_raw
from daydreaming_dagster.resources.workspace import WorkspaceResource


@asset(
    group_name="evaluation",
    kinds={"text"},
    partitions_def=EVALUATIONS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AFTER_ESSAYS, "cohort_membership", "evaluation_templates"],
)
def evaluation_prompt(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The rubric, filled with the parent essay's parsed text. Always rendered anew, from today's template."""
    return materialize_step(context, workspace, Stage.EVALUATION, materialize_prompts)


@asset(
    group_name="evaluation",
    kinds={"llm"},
    partitions_def=EVALUATIONS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[evaluation_prompt, "llm_models"],
)
def evaluation_raw(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """What the model answered, untouched. A stored answer to the same request is reused; older ones are kept."""
    return materialize_step(context, workspace, Stage.EVALUATION, materialize_raw)


@asset(
    group_name="evaluation",
    kinds={"text"},
    partitions_def=EVALUATIONS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[evaluation_raw],
)
def evaluation_parsed(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The score that the parser reads in the answer, a number and a newline. Calls nobody."""
    return materialize_step(context, workspace, Stage.EVALUATION, materialize_parsed)
