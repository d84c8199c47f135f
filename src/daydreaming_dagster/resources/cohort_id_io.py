"""Hands the cohort id from `cohort_id` to `cohort_membership`: the store itself is the memory."""

from dagster import ConfigurableIOManager, InputContext, OutputContext, ResourceDependency

from daydreaming_dagster.resources.workspace import WorkspaceResource


class CohortIdIOManager(ConfigurableIOManager):
    """Reads the id of the cohort built last; writing it was building it."""

    workspace: ResourceDependency[WorkspaceResource]

    def handle_output(self, context: OutputContext, obj: str) -> None:
        """Nothing to do: the cohort's folder is there and is the newest."""

    def load_input(self, context: InputContext) -> str:  # noqa: ARG002 - Dagster's signature
        """Id of the cohort in use."""
        return self.workspace.open().require_current_cohort().cohort_id
