"""Cohorts: planned from the inputs, written once, read often.

`plan_cohort` decides everything and writes nothing; `write_cohort` makes it real. A cohort that was built before and is
still what the inputs ask for is taken as it stands: the same id, the same rows.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daydreaming_dagster import __version__
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination, build_all_combinations
from daydreaming_dagster.domain.errors import ConfigurationError, StoreError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.ids import compute_cohort_id
from daydreaming_dagster.domain.manifest import build_cartesian_part, build_frozen_part
from daydreaming_dagster.domain.membership import (
    REBUILD,
    Axes,
    Cohort,
    Member,
    build_cartesian_members,
    require_distinct_ids,
    require_valid_parents,
)
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.membership_csv import dump_membership, read_membership
from daydreaming_dagster.store.paths import DataPaths

_MEMBERSHIP_SHA256 = "membership_sha256"
_COHORT_NAME = re.compile(r"\w[\w.+@~-]*")


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """A cohort as the inputs ask for it; nothing of it is written yet.

    Attributes:
        manifest: content of `manifest.json`, but for what writing adds.
        members: drafts, then essays, then evaluations.
        combinations: by combo_id, those of the members.
        unchanged: the cohort stands on disk exactly like this.
        notes: sentences for the user about what was found and decided.
    """

    cohort_id: str
    manifest: Mapping[str, Any]
    members: Sequence[Member]
    combinations: Mapping[str, Combination]
    unchanged: bool = False
    notes: list[str] = field(default_factory=list)


def plan_cohort(
    paths: DataPaths,
    catalogue: Catalogue,
    config: ExperimentConfig,
    *,
    override: str | None = None,
    existing: GenerationStore,
) -> CohortPlan:
    """Decides id and rows of the cohort that the inputs ask for; writes nothing.

    Args:
        paths: where the selections and earlier cohorts lie.
        catalogue: the inputs.
        config: combination size, description level and settings of the stages.
        override: name for the cohort instead of the computed id.
        existing: generations made so far.

    Raises:
        ConfigurationError: the inputs ask for no cohort that could be made.
        MembershipError: rows contradict each other.
    """
    axes = _build_axes(catalogue)
    combinations = {
        combination.combo_id: combination
        for combination in build_all_combinations(catalogue.active_concepts(), config.description_level, config.k_max)
    }
    part = build_cartesian_part(combinations, axes)
    cohort_id = _require_name(override) if override else compute_cohort_id(part)
    stored = _find_unchanged(paths, cohort_id, part, existing)
    members = stored if stored is not None else build_cartesian_members(cohort_id, combinations, axes)
    if stored is None:
        require_distinct_ids(members)
        require_valid_parents(members)
    manifest = {
        "cohort_id": cohort_id,
        "package_version": __version__,
        "membership": part,
        "counts": {str(stage): sum(1 for member in members if member.stage is stage) for stage in Stage},
        **build_frozen_part(catalogue, config, members, combinations),
    }
    return CohortPlan(cohort_id, manifest, members, combinations, unchanged=stored is not None)


def write_cohort(paths: DataPaths, plan: CohortPlan, *, clock: Callable[[], datetime] | None = None) -> bool:
    """Makes a planned cohort real and the current one; True when something had to be written.

    Raises:
        StoreError: the disk refuses.
    """
    manifest_path = paths.manifest(plan.cohort_id)
    if plan.unchanged:
        with files.explain_os_errors(manifest_path):
            os.utime(manifest_path)
        return False
    content = dump_membership(plan.members)
    files.write_bytes(paths.membership(plan.cohort_id), content, durable=True)
    now = (clock or _now)()
    # Last, because a manifest says that the membership beside it is complete.
    files.write_json(
        manifest_path,
        {
            **plan.manifest,
            "created_at": now.isoformat(timespec="seconds"),
            _MEMBERSHIP_SHA256: hashlib.sha256(content).hexdigest(),
        },
        durable=True,
    )
    return True


def read_cohort(paths: DataPaths, cohort_id: str) -> Cohort:
    """A cohort as it stands on disk.

    Raises:
        StoreError: there is no such cohort, or one of its files is damaged.
    """
    if not _COHORT_NAME.fullmatch(cohort_id) or not paths.cohort(cohort_id).is_dir():
        raise StoreError(f"There is no cohort '{cohort_id}' in {paths.cohorts}.", fix=REBUILD, reason="cohort_missing")
    manifest = files.find_json(paths.manifest(cohort_id)) or {}
    members = read_membership(paths.membership(cohort_id), cohort_id, GenerationStore(paths))
    return Cohort(cohort_id, manifest, members, _read_combinations(manifest))


def find_current_cohort_id(paths: DataPaths, override: str | None = None) -> str | None:
    """The named cohort, else the one that was built last, else None."""
    if override:
        return override
    built = [
        (_find_built_at(folder), folder.name)
        for folder in (paths.cohorts.iterdir() if paths.cohorts.is_dir() else ())
        if folder.is_dir()
    ]
    return max((entry for entry in built if entry[0] is not None), default=(0, None))[1]


def _find_built_at(folder: Path) -> int | None:
    for name in ("manifest.json", "membership.csv"):
        if (folder / name).is_file():
            return (folder / name).stat().st_mtime_ns
    return None


def _now() -> datetime:
    return datetime.now(UTC)


def _require_name(override: str) -> str:
    if not _COHORT_NAME.fullmatch(override):
        raise ConfigurationError(
            f"'{override}' cannot be the name of a cohort: it becomes a folder.",
            fix="Use letters, digits and . _ - + @ ~ in DD_COHORT (or in the run config).",
        )
    return override


def _build_axes(catalogue: Catalogue) -> Axes:
    return Axes(
        draft_templates=tuple(template.template_id for template in catalogue.active_templates(Stage.DRAFT)),
        essay_templates=tuple(template.template_id for template in catalogue.active_templates(Stage.ESSAY)),
        evaluation_templates=tuple(template.template_id for template in catalogue.active_templates(Stage.EVALUATION)),
        generation_models=tuple(model.id for model in catalogue.generation_models()),
        evaluation_models=tuple(model.id for model in catalogue.evaluation_models()),
        replicates=catalogue.replicates,
    )


def _find_unchanged(
    paths: DataPaths, cohort_id: str, part: Mapping[str, Any], existing: GenerationStore
) -> list[Member] | None:
    try:
        manifest = files.find_json(paths.manifest(cohort_id))
        content = paths.membership(cohort_id).read_bytes()
    except (StoreError, OSError):
        return None  # whatever is wrong with it, it is built again
    if manifest is None or manifest.get("membership") != part:
        return None
    if manifest.get(_MEMBERSHIP_SHA256) != hashlib.sha256(content).hexdigest():
        return None
    return read_membership(paths.membership(cohort_id), cohort_id, existing)


def _read_combinations(manifest: Mapping[str, Any]) -> dict[str, Combination]:
    return {
        combo_id: Combination(combo_id, tuple(value["concept_ids"]), value["description_level"], value["k_max"])
        for combo_id, value in manifest.get("combinations", {}).items()
    }
