"""Hands the cohort id from `cohort_id` to the assets that follow it."""

from dagster import (
    AssetKey,
    ConfigurableIOManager,
    DagsterEventType,
    DagsterInstance,
    InputContext,
    OutputContext,
    ResourceDependency,
)

from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource

_COHORT_ID = AssetKey("cohort_id")


class CohortIdIOManager(ConfigurableIOManager):
    """Within a run the id that the run has built; otherwise the id of the cohort in use. Keeps no file of its own."""

    workspace: ResourceDependency[WorkspaceResource]

    def handle_output(self, context: OutputContext, obj: str) -> None:
        """Nothing to do: the cohort is on disk, and the run's log names it."""

    def load_input(self, context: InputContext) -> str:
        """Id of the cohort that the next asset is about."""
        with explain_failures():
            built = find_cohort_built_in(context.instance, context.step_context.run_id)
            return built or self.workspace.open().require_current_cohort().cohort_id


def find_cohort_built_in(instance: DagsterInstance, run_id: str) -> str | None:
    """The cohort that a run has built; None when it has built none.

    DD_COHORT and other runs may point to another cohort than the one that this run was told to build.
    """
    for record in instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION).records:
        materialization = record.event_log_entry.asset_materialization
        if materialization is not None and materialization.asset_key == _COHORT_ID:
            return str(materialization.metadata["cohort_id"].value)
    return None
