"""Partitions of the stage assets: one key per generation, its gen_id. Named constants, registered by the cohort."""

from collections.abc import Mapping, Sequence

from dagster import AllPartitionMapping, AssetDep, DagsterInstance, DynamicPartitionsDefinition
from sqlalchemy.exc import IntegrityError

from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.registrations import find_stale_gen_ids, remember_registration

DRAFTS = DynamicPartitionsDefinition(name="draft_gens")
"""One partition per draft."""

ESSAYS = DynamicPartitionsDefinition(name="essay_gens")
"""One partition per essay."""

EVALUATIONS = DynamicPartitionsDefinition(name="evaluation_gens")
"""One partition per evaluation."""

_ATTEMPTS = 5
"""To register keys while other processes do."""

PARTITIONS: Mapping[Stage, DynamicPartitionsDefinition] = {
    Stage.DRAFT: DRAFTS,
    Stage.ESSAY: ESSAYS,
    Stage.EVALUATION: EVALUATIONS,
}

FROM_ITS_PARENT = AllPartitionMapping()
"""Between two stages. Which parent a generation has stands in the membership, not in its key; told that any may be the
parent, Dagster at least brings the stages of a backfill one after the other."""

AFTER_DRAFTS = AssetDep("draft_parsed", partition_mapping=FROM_ITS_PARENT)
"""What reads parsed drafts comes after them."""

AFTER_ESSAYS = AssetDep("essay_parsed", partition_mapping=FROM_ITS_PARENT)
"""What reads parsed essays comes after them."""

AFTER_EVALUATIONS = AssetDep("evaluation_parsed", partition_mapping=FROM_ITS_PARENT)
"""What reads parsed evaluations comes after them."""


def synchronize_partitions(instance: DagsterInstance, paths: DataPaths, cohort: Cohort) -> dict[str, int]:
    """Brings Dagster's partitions in line with a cohort.

    Keys of its members are added. Keys that an earlier version of the same cohort registered, or a cohort whose folder
    was removed since, are removed unless a cohort has them; nothing else is ever removed, and files never are.

    Returns:
        Numbers of keys added by stage (`added_drafts`, …) and removed (`pruned`).
    """
    counts: dict[str, int] = {}
    stale = find_stale_gen_ids(paths, cohort)
    counts["pruned"] = 0
    for stage, definition in PARTITIONS.items():
        name = str(definition.name)
        wanted = [member.gen_id for member in cohort.members if member.stage is stage]
        counts[f"added_{stage}s"] = _add_missing(instance, name, wanted)
        for gen_id in stale.intersection(instance.get_dynamic_partitions(name)):
            instance.delete_dynamic_partition(name, gen_id)
            counts["pruned"] += 1
    remember_registration(paths, cohort)
    return counts


def _add_missing(instance: DagsterInstance, name: str, wanted: Sequence[str]) -> int:
    """Registers keys, also while other processes register some of the same; returns how many were new."""
    for attempt in range(1, _ATTEMPTS + 1):
        known = set(instance.get_dynamic_partitions(name))
        new = [gen_id for gen_id in wanted if gen_id not in known]
        if not new:
            break
        try:
            instance.add_dynamic_partitions(name, new)
        except IntegrityError:  # somebody registered some of them since they were looked up
            if attempt == _ATTEMPTS:
                raise
        else:
            return len(new)
    return 0
