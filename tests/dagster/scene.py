"""A data root whose models are a script, a Dagster instance, and runs in this process: for tests of the assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult, materialize
from tests.fakes.data_root import DataRoot

from daydreaming_dagster import definitions
from daydreaming_dagster.assets.partitions import PARTITIONS
from daydreaming_dagster.automation import cohort_run
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.run_board import RunBoard
from daydreaming_dagster.resources.workspace import ExperimentConfigResource

PAIR = ("cohort_id", "cohort_membership")
FIVE = ("selected_combo_mappings", "content_combinations", *PAIR, "register_cohort_partitions")

SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Scene:
    """Everything a run needs."""

    root: DataRoot
    instance: DagsterInstance

    def materialize(
        self,
        names: Sequence[str],
        *,
        partition: str | None = None,
        ops: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ExecuteInProcessResult:
        """As `dagster asset materialize` does, checks of the assets included."""
        return materialize(
            [*definitions.ASSETS, *definitions.CHECKS],
            selection=list(names),
            partition_key=partition,
            resources=definitions.build_resources(ExperimentConfigResource()),
            instance=self.instance,
            run_config={"ops": dict(ops or {}), **SILENT},
            tags=dict(tags or {}),
            raise_on_error=False,
        )

    def make(self, tags: Mapping[str, str] | None = None, **config: Any) -> tuple[ExecuteInProcessResult, RunBoard]:
        """The bulk run."""
        board = RunBoard()
        resources = definitions.build_resources(ExperimentConfigResource())
        result = cohort_run.execute_in_process(
            instance=self.instance,
            resources={**resources, "run_board": board},
            run_config={"ops": {"make_generations": {"config": config}}, **SILENT},
            tags=dict(tags or {}),
            raise_on_error=False,
        )
        return result, board

    def build_cohort(self) -> list[Member]:
        """The members of the cohort that the inputs describe, made by the assets."""
        assert self.materialize(PAIR).success
        return self.members

    @property
    def members(self) -> list[Member]:
        """Those of the cohort built last."""
        return list(self.root.workspace().require_current_cohort().members)

    def of_stage(self, stage: Stage) -> list[str]:
        """Ids of the members of a stage."""
        return [member.gen_id for member in self.members if member.stage is stage]

    def partitions(self, stage: Stage) -> list[str]:
        """Keys that Dagster knows."""
        return list(self.instance.get_dynamic_partitions(str(PARTITIONS[stage].name)))

    def materialized(self, asset: str) -> set[str]:
        """Partitions of an asset that Dagster shows as materialized."""
        return set(self.instance.get_materialized_partitions(AssetKey(asset)))

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        """Of the latest materialization."""
        records = self.instance.fetch_materializations(AssetKey(asset), limit=1000).records
        for record in records:
            found = record.asset_materialization
            if found is not None and partition in (None, found.partition):
                return {name: value.value for name, value in found.metadata.items()}
        raise AssertionError(f"{asset} {partition} was never materialized")


def tell_failure(result: ExecuteInProcessResult) -> str:
    """What the first failing step said."""
    assert not result.success
    data = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    return (data.user_failure_data.description if data.user_failure_data else None) or data.error.message
