"""The body that the stage assets share: partition keys in, one engine step, metadata worth looking at out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import AssetExecutionContext, Failure, MaterializeResult, MetadataValue
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.steps import Step, StepResult
from daydreaming_dagster.resources.event_rows import Materialization
from daydreaming_dagster.resources.explorer_links import link_generation
from daydreaming_dagster.resources.failures import explain_failures, to_failure
from daydreaming_dagster.resources.recorder import EventRecorder, FailedMaterialization, Record
from daydreaming_dagster.resources.workspace import WorkspaceResource

EXPERIMENT_TAG = "experiment_id"
_PREVIEW_CHARACTERS, _SHORT_PREVIEW_CHARACTERS = 4000, 400
"""Of a generation materialized alone, and of one among many: Dagster stores every event twice."""


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
        run_info = RunInfo(context.run.run_id, members[0].cohort_id, context.run.tags.get(EXPERIMENT_TAG))
        results = step(workspace, recipe, members, run_info)
    if len(results) == 1:
        return _report_one(results[0])
    return _report_many(context, results)


def _report_one(result: StepResult) -> MaterializeResult[None]:
    if result.error is not None:
        raise to_failure(result.error)
    return MaterializeResult(metadata=_metadata(result, _PREVIEW_CHARACTERS))


def _report_many(context: AssetExecutionContext, results: Sequence[StepResult]) -> MaterializeResult[None]:
    failed = [result for result in results if result.error is not None]
    if not failed:
        made = {result.member.gen_id: _metadata(result, _SHORT_PREVIEW_CHARACTERS) for result in results}
        _attach_metadata(context, made)
        return MaterializeResult()
    # A step that fails leaves no materialization behind by itself, not even of what it has made.
    step = context.asset_key.to_user_string().rpartition("_")[2]
    EventRecorder(context.instance, context.run).record(
        [record for result in results for record in build_step_records(step, result)]
    )
    raise build_failure_of_many(failed, len(results))


def _attach_metadata(context: AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Metadata of each partition's materialization.

    `context.add_asset_metadata` reads all keys of the partition set and copies all metadata on every call: minutes for
    ten thousand partitions.
    """
    step = context.op_execution_context.get_step_execution_context()
    step._metadata_accumulator = OutputMetadataAccumulator(
        per_output_metadata={
            AssetMetadataHandle(asset_key=context.asset_key, partition_key=gen_id): values
            for gen_id, values in metadata.items()
        }
    )


def build_step_records(step: str, result: StepResult) -> Iterator[Record]:
    """What Dagster is told of one step of one generation among many."""
    member = result.member
    asset = f"{member.stage}_{step}"
    if result.error is None:
        metadata = _metadata(result, _SHORT_PREVIEW_CHARACTERS)
        yield Materialization(asset, member.gen_id, metadata)
    else:
        yield FailedMaterialization(asset, member.gen_id, str(result.error), {"reason": result.error.reason})


def build_failure_of_many(failed: Sequence[StepResult], total: int) -> Failure:
    """The failure of a run in which some of many generations could not be made."""
    first: DayDreamingError | None = failed[0].error
    return Failure(
        description=f"{len(failed)} of {total} generations failed; the others are stored and recorded.\n"
        f"The first one, {failed[0].member.gen_id}: {first}",
        metadata={"failed_gen_ids": MetadataValue.json([result.member.gen_id for result in failed])},
        allow_retries=False,
    )


def _metadata(result: StepResult, preview_characters: int) -> dict[str, Any]:
    member = result.member
    metadata: dict[str, Any] = {
        "gen_id": member.gen_id,
        "template": member.template_id,
        "model_id": member.llm_model_id,
        "combo_id": member.combo_id,
        "replicate": member.replicate,
        **link_generation(member.gen_id),
    }
    if member.parent_gen_id:
        metadata["parent_gen_id"] = member.parent_gen_id
    for name, value in result.facts.items():
        metadata[name] = MetadataValue.path(value) if name == "path" else value
    if result.text is not None:
        metadata["preview"] = MetadataValue.md(_fence(result.text[:preview_characters]))
    return metadata


def _fence(text: str) -> str:
    # The text is a model's: shown as it is, never as markup of its own.
    ticks = "````"
    while ticks in text:
        ticks += "`"
    return f"{ticks}text\n{text}\n{ticks}"
