"""Cohorts: planned from the inputs, and written once; `cohort_files.py` reads them.

`plan_cohort` decides everything and writes nothing; `write_cohort` makes it real. A cohort that was built before and is
still what the inputs ask for is taken as it stands: the same id, the same rows.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from daydreaming_dagster import __version__
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import ConfigurationError, StoreError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.ids import compute_cohort_id
from daydreaming_dagster.domain.manifest import build_frozen_part, describe_changes
from daydreaming_dagster.domain.membership import (
    MEMBERSHIP_COLUMNS,
    MODE_CARTESIAN,
    Member,
    build_conflict_error,
    require_distinct_ids,
    require_valid_parents,
)
from daydreaming_dagster.domain.prompts import (
    TEMPLATE_VARIABLES,
    build_concept_texts,
    find_used_variables,
    render_draft_prompt,
)
from daydreaming_dagster.domain.selection import Mode
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.blueprints import Blueprint, Rows, build_stored_member, read_blueprint
from daydreaming_dagster.store.cohort_files import COHORT_NAME, find_combinations, read_cohort
from daydreaming_dagster.store.combinations import find_unregistered, read_combo_registry, register_combinations
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.membership_csv import dump_membership, read_membership
from daydreaming_dagster.store.paths import DataPaths

_MEMBERSHIP_SHA256 = "membership_sha256"
_COMPUTED_ID = re.compile(r"cohort-[0-9a-f]{12}")
_RENDERING_MODES = (MODE_CARTESIAN, Mode.REGENERATE.value)
_REBUILT = "The membership of '{}' was edited, damaged or lost since; it is built again."


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
    blueprint = read_blueprint(paths, catalogue, config, existing)
    computed_id = compute_cohort_id(blueprint.part)
    cohort_id = _require_name(override) if override else computed_id
    stored = _read_stored(paths, cohort_id)
    if override and stored.found and not _may_be_rebuilt(stored, cohort_id, blueprint.part):
        return _keep(paths, cohort_id, computed_id)
    is_same = stored.manifest.get("membership") == blueprint.part
    unchanged = is_same and stored.intact
    if unchanged:
        rows = _read_rows(paths, cohort_id, stored, existing)
    else:
        rows = _build_rows(paths, blueprint, cohort_id, existing)
    _try_draft_templates(catalogue, blueprint.part["mode"], rows)
    manifest = _build_manifest(catalogue, config, blueprint, cohort_id, rows)
    notes = [
        *blueprint.notes,
        *_note_given_name(cohort_id, computed_id, stored),
        *([] if unchanged or not is_same else [_REBUILT.format(cohort_id)]),
        *rows.notes,
        *_note_blind_templates(catalogue, rows.members),
        *_note_bare_concepts(catalogue, rows.combinations.values()),
        *_describe_since(cohort_id, stored.manifest, manifest),
    ]
    # What was true when its first generations were made stays on record for as long as the rows are the same.
    frozen = stored.manifest if is_same else manifest
    return CohortPlan(cohort_id, frozen, rows.members, rows.combinations, unchanged=unchanged, notes=notes)


def write_cohort(paths: DataPaths, plan: CohortPlan, *, clock: Callable[[], datetime] | None = None) -> bool:
    """Makes a planned cohort real and the current one; True when something had to be written.

    Raises:
        MembershipError: the registry knows a combination of the same id with other content.
        StoreError: the disk refuses.
    """
    now = (clock or _now)()
    register_combinations(paths, plan.combinations.values(), clock=lambda: now)
    manifest_path, membership_path = paths.manifest(plan.cohort_id), paths.membership(plan.cohort_id)
    if plan.unchanged:
        marker = manifest_path if manifest_path.exists() else membership_path
        with files.explain_os_errors(marker):
            os.utime(marker)
        return False
    content = dump_membership(plan.members)
    files.write_bytes(membership_path, content, durable=True)
    manifest = {"created_at": now.isoformat(timespec="seconds"), **plan.manifest}
    manifest[_MEMBERSHIP_SHA256] = hashlib.sha256(content).hexdigest()
    # Last, because a manifest says that the membership beside it is complete.
    files.write_json(manifest_path, manifest, durable=True)
    return True


def _now() -> datetime:
    return datetime.now(UTC)


def _require_name(override: str) -> str:
    if not COHORT_NAME.fullmatch(override):
        raise ConfigurationError(
            f"'{override}' cannot be the name of a cohort: it becomes a folder.",
            fix="Use letters, digits and . _ - + @ ~ in DD_COHORT (or in the run config).",
        )
    return override


# What stands on disk already ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Stored:
    """What lies under the wanted id.

    Attributes:
        manifest: empty when it is missing or damaged.
        found: there is a manifest or a membership.
        intact: the membership is byte for byte what was written with the manifest.
        foreign: it was not written by this version's `write_cohort`.
    """

    manifest: Mapping[str, Any]
    found: bool
    intact: bool
    foreign: bool


def _read_stored(paths: DataPaths, cohort_id: str) -> _Stored:
    try:
        manifest = files.find_json(paths.manifest(cohort_id)) or {}
    except StoreError:
        manifest = {}
    try:
        membership = paths.membership(cohort_id).read_bytes()
    except OSError:
        membership = b""
    header = membership.split(b"\n", 1)[0].strip().decode("utf-8", errors="replace")
    is_foreign_table = bool(membership) and header != ",".join(MEMBERSHIP_COLUMNS)
    return _Stored(
        manifest,
        found=bool(manifest or membership),
        intact=manifest.get(_MEMBERSHIP_SHA256) == hashlib.sha256(membership).hexdigest(),
        foreign="membership" not in manifest if manifest else is_foreign_table,
    )


def _may_be_rebuilt(stored: _Stored, cohort_id: str, part: Mapping[str, Any]) -> bool:
    # An id that was computed promises what it was computed from; a name somebody gave promises nothing.
    if stored.foreign:
        return False
    return stored.manifest.get("membership") == part or not _COMPUTED_ID.fullmatch(cohort_id)


def _keep(paths: DataPaths, cohort_id: str, computed_id: str) -> CohortPlan:
    cohort = read_cohort(paths, cohort_id)
    note = (
        f"'{cohort_id}' is kept as it was built, for it was named; the input files now ask for '{computed_id}'. "
        "Unset DD_COHORT (and the run config's override) to build that one."
    )
    return CohortPlan(cohort_id, cohort.manifest, cohort.members, cohort.combinations, unchanged=True, notes=[note])


def _note_given_name(cohort_id: str, computed_id: str, stored: _Stored) -> list[str]:
    if cohort_id == computed_id or stored.found or not _COMPUTED_ID.fullmatch(cohort_id):
        return []
    return [
        f"'{cohort_id}' looks like a computed id, but the input files ask for '{computed_id}'; it is built as a name. "
        "Once built it keeps its rows: choose another name, or unset DD_COHORT, if that is not meant."
    ]


def _note_blind_templates(catalogue: Catalogue, members: Iterable[Member]) -> list[str]:
    used = dict.fromkeys((member.stage, member.template_id) for member in members)
    notes = []
    for stage, template_id in used:
        template = catalogue.templates[stage].get(template_id)
        if template is not None and template.source and not find_used_variables(template.source):
            names = " or ".join(TEMPLATE_VARIABLES[stage])
            notes.append(f"The {stage} template '{template_id}' never shows {names}: all its prompts are the same.")
    return notes


def _note_bare_concepts(catalogue: Catalogue, combinations: Iterable[Combination]) -> list[str]:
    used = dict.fromkeys(concept_id for combination in combinations for concept_id in combination.concept_ids)
    return [
        f"Concept '{concept_id}' has no description at any level: drafts are shown its name and nothing else."
        for concept_id in used
        if (concept := catalogue.concepts.get(concept_id)) is not None and not concept.descriptions
    ]


def _describe_since(cohort_id: str, stored: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    return (
        [f"Since '{cohort_id}' was built: {change}" for change in describe_changes(stored, manifest)] if stored else []
    )


def _read_rows(paths: DataPaths, cohort_id: str, stored: _Stored, existing: GenerationStore) -> Rows:
    members = read_membership(paths.membership(cohort_id), cohort_id, existing)
    return Rows(members, find_combinations(stored.manifest))


# New rows -----------------------------------------------------------------------------------------------------------
def _build_rows(paths: DataPaths, blueprint: Blueprint, cohort_id: str, existing: GenerationStore) -> Rows:
    rows = blueprint.build(cohort_id)
    require_distinct_ids(rows.members)
    require_valid_parents(rows.members)
    _require_no_conflict([member for member in rows.members if member.gen_id not in rows.reused], existing)
    find_unregistered(read_combo_registry(paths), rows.combinations.values())
    return rows


def _build_manifest(
    catalogue: Catalogue, config: ExperimentConfig, blueprint: Blueprint, cohort_id: str, rows: Rows
) -> dict[str, Any]:
    return {
        "cohort_id": cohort_id,
        "package_version": __version__,
        "membership": blueprint.part,
        "counts": Counter(member.stage.value for member in rows.members),
        **build_frozen_part(catalogue, config, rows.members, rows.combinations),
    }


def _require_no_conflict(members: Sequence[Member], existing: GenerationStore) -> None:
    for stage in Stage:
        wanted = {member.gen_id: member for member in members if member.stage is stage}
        stored = [gen_id for gen_id in existing.iter_gen_ids(stage) if gen_id in wanted]
        # What is damaged contradicts nothing here; the engine says so when it comes to that generation.
        for metadata in existing.iter_metadata(stage, stored, unreadable=[]):
            _require_same_signature(wanted[metadata.gen_id], build_stored_member(metadata))


def _require_same_signature(member: Member, stored: Member) -> None:
    # What older metadata leaves out contradicts nothing.
    pairs = list(zip(stored.signature(), member.signature(), strict=True))
    if any(there not in ("", wanted) for there, wanted in pairs):
        raise build_conflict_error(member.gen_id, stored.signature(), member.signature())


def _try_draft_templates(catalogue: Catalogue, mode: str, rows: Rows) -> None:
    """Renders each draft template once per combination size: a broken one shows before the first call."""
    if mode not in _RENDERING_MODES:
        return
    tried: set[tuple[str, int]] = set()
    for member in rows.members:
        combination = rows.combinations.get(member.combo_id)
        template = catalogue.templates[Stage.DRAFT].get(member.template_id)
        if member.stage is not Stage.DRAFT or combination is None or template is None:
            continue
        key = (member.template_id, len(combination.concept_ids))
        if key not in tried and catalogue.concepts.keys() >= set(combination.concept_ids):
            tried.add(key)
            concepts = [catalogue.concepts[concept_id] for concept_id in combination.concept_ids]
            render_draft_prompt(template, build_concept_texts(concepts, combination.description_level))
