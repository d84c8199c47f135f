"""What a report, a comparison or an export is about: a cohort, an experiment across cohorts, or the whole store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.membership import Cohort, Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.combinations import read_combo_registry
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore

_SHOWN_EXPERIMENTS = 10


@dataclass(frozen=True)
class Scope:
    """Generations that are looked at together.

    Attributes:
        kind: what `name` names.
        members: drafts, then essays, then evaluations.
        combinations: by combo_id; those that are known.
        manifest: of the cohort; empty over several.
    """

    kind: Literal["cohort", "experiment", "store"]
    name: str
    members: Sequence[Member]
    combinations: Mapping[str, Combination]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def of_stage(self, stage: Stage) -> list[Member]:
        """The members of one stage, in order."""
        return [member for member in self.members if member.stage is stage]

    @property
    def cohort_ids(self) -> list[str]:
        """Cohorts that the members belong to or were first made in."""
        return sorted({member.cohort_id for member in self.members if member.cohort_id})


def scope_of_cohort(cohort: Cohort) -> Scope:
    """All of a cohort."""
    return Scope("cohort", cohort.cohort_id, cohort.members, cohort.combinations, cohort.manifest)


def scope_of_store(workspace: Workspace) -> Scope:
    """Everything that was ever made, of whatever cohort."""
    members = [row for stage in Stage for row in _build_members(_read_stored(workspace.store, stage, None).values())]
    return Scope("store", "all cohorts", members, read_combo_registry(workspace.paths))


def read_scope(workspace: Workspace, experiment: str | None = None) -> Scope:
    """The workspace's cohort, or an experiment: within the named cohort, else in the whole store.

    An experiment is every generation that carries its name, and what these were made from.

    Raises:
        MembershipError: there is no cohort.
        ConfigurationError: nothing carries the experiment's name.
    """
    if experiment is None:
        return scope_of_cohort(workspace.require_current_cohort())
    within = workspace.require_current_cohort() if workspace.cohort_override else None
    allowed = None if within is None else within.by_gen_id
    stored = {stage: _read_stored(workspace.store, stage, allowed) for stage in Stage}
    chosen = _choose(stored, experiment)
    if not chosen:
        raise _no_such_experiment(experiment, stored, None if within is None else within.cohort_id)
    combinations = read_combo_registry(workspace.paths)
    known = {combo_id: combinations[combo_id] for row in chosen if (combo_id := row.combo_id) in combinations}
    return Scope("experiment", experiment, chosen, known, {} if within is None else within.manifest)


def list_experiments(store: GenerationStore) -> list[str]:
    """Names that stored evaluations carry."""
    found = (metadata.experiment_id for metadata in store.iter_metadata(Stage.EVALUATION, unreadable=[]))
    return sorted({name for name in found if name})


def _read_stored(
    store: GenerationStore, stage: Stage, allowed: Mapping[str, Member] | None
) -> dict[str, GenerationMetadata]:
    found = store.iter_metadata(stage, unreadable=[])
    return {metadata.gen_id: metadata for metadata in found if allowed is None or metadata.gen_id in allowed}


def _choose(stored: Mapping[Stage, Mapping[str, GenerationMetadata]], experiment: str) -> list[Member]:
    """The experiment's generations with the parents they were made from, drafts first."""
    wanted: set[str] = set()
    rows: list[Member] = []
    for stage in reversed(list(Stage)):
        here = [
            metadata
            for gen_id, metadata in sorted(stored[stage].items())
            if metadata.experiment_id == experiment or gen_id in wanted
        ]
        wanted = {metadata.parent_gen_id for metadata in here}
        rows = [*_build_members(here), *rows]
    return rows


def _build_members(found: Iterable[GenerationMetadata]) -> list[Member]:
    return [
        Member(
            metadata.stage,
            metadata.gen_id,
            metadata.origin_cohort_id,
            metadata.parent_gen_id,
            metadata.combo_id,
            metadata.template_id,
            metadata.llm_model_id,
            metadata.replicate,
            metadata.mode,
        )
        for metadata in found
    ]


def _no_such_experiment(
    experiment: str, stored: Mapping[Stage, Mapping[str, GenerationMetadata]], cohort_id: str | None
) -> ConfigurationError:
    rows = (metadata for of_stage in stored.values() for metadata in of_stage.values())
    known = sorted({metadata.experiment_id for metadata in rows if metadata.experiment_id})
    where = f"in cohort '{cohort_id}'" if cohort_id else "in the store"
    names = ", ".join(known[:_SHOWN_EXPERIMENTS]) if known else "none"
    return ConfigurationError(
        f"No generation {where} carries experiment_id '{experiment}'; known: {names}.",
        fix="Name one of these, or give a run a name: daydreaming run --tag experiment_id=NAME",
        reason="experiment_unknown",
        culprits={"experiment_id": experiment, "known": known},
    )
