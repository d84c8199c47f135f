"""The body that the stage assets share: partition keys in, one engine step, metadata worth looking at out."""

from collections.abc import Sequence
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetMaterialization,
    Failure,
    MaterializeResult,
    MetadataValue,
)

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.steps import Step, StepResult
from daydreaming_dagster.resources.failures import explain_failures, to_failure
from daydreaming_dagster.resources.workspace import WorkspaceResource

EXPERIMENT_TAG = "experiment_id"
_PREVIEW_CHARACTERS = 4000


def materialize_step(
    context: AssetExecutionContext, resource: WorkspaceResource, stage: Stage, step: Step
) -> MaterializeResult[None]:
    """Makes one step of every partition of this run and says what came of it.

    Raises:
        Failure: at least one generation could not be made; the others are recorded as materialized.
    """
    with explain_failures():
        workspace = resource.open()
        members = workspace.require_members(stage, context.partition_keys)
        recipe = workspace.recipe(workspace.require_current_cohort().combinations)
        run_info = RunInfo(context.run_id, members[0].cohort_id, context.run.tags.get(EXPERIMENT_TAG))
        results = step(workspace, recipe, members, run_info)
    if len(results) == 1:
        return _report_one(results[0])
    return _report_many(context, results)


def _report_one(result: StepResult) -> MaterializeResult[None]:
    if result.error is not None:
        raise to_failure(result.error)
    return MaterializeResult(metadata=_metadata(result))


def _report_many(context: AssetExecutionContext, results: Sequence[StepResult]) -> MaterializeResult[None]:
    failed = [result for result in results if result.error is not None]
    if not failed:
        for result in results:
            context.add_asset_metadata(_metadata(result), partition_key=result.member.gen_id)
        return MaterializeResult()
    for result in results:
        if result.error is None:
            context.log_event(
                AssetMaterialization(context.asset_key, partition=result.member.gen_id, metadata=_metadata(result))
            )
        else:
            context.log.error(f"{result.member.gen_id}: {result.error}")
    raise _failure_of_many(failed, len(results))


def _failure_of_many(failed: Sequence[StepResult], total: int) -> Failure:
    first: DayDreamingError | None = failed[0].error
    return Failure(
        description=f"{len(failed)} of {total} generations failed; the others are stored and recorded.\n"
        f"The first one, {failed[0].member.gen_id}: {first}",
        metadata={"failed_gen_ids": MetadataValue.json([result.member.gen_id for result in failed])},
        allow_retries=False,
    )


def _metadata(result: StepResult) -> dict[str, Any]:
    member = result.member
    metadata: dict[str, Any] = {
        "gen_id": member.gen_id,
        "template": member.template_id,
        "model_id": member.llm_model_id,
        "combo_id": member.combo_id,
        "replicate": member.replicate,
    }
    if member.parent_gen_id:
        metadata["parent_gen_id"] = member.parent_gen_id
    for name, value in result.facts.items():
        metadata[name] = MetadataValue.path(value) if name == "path" else value
    if result.text is not None:
        metadata["preview"] = MetadataValue.md(_fence(result.text[:_PREVIEW_CHARACTERS]))
    return metadata


def _fence(text: str) -> str:
    # The text is a model's: shown as it is, never as markup of its own.
    ticks = "````"
    while ticks in text:
        ticks += "`"
    return f"{ticks}text\n{text}\n{ticks}"
