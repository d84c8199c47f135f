"""What the inputs ask for: a Cartesian cohort of everything active, or a curated one that starts from selected ids.

A `Blueprint` knows what decides the cohort id without looking at the generations; only building its rows does that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.curation import Replicates, Source, build_curated_members
from daydreaming_dagster.domain.errors import ConfigurationError, InputErrors, InputProblem, StoreError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.manifest import build_cartesian_part, build_curated_part
from daydreaming_dagster.domain.membership import Axes, Member, build_cartesian_members
from daydreaming_dagster.domain.selection import Mode, SelectedId, Selection, parse_selection
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.combinations import read_combo_registry, read_selected_combinations
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore
from daydreaming_dagster.store.input_tables import InputLog, read_input_text, show_path
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.utils.wording import show_count

LARGEST_COHORT = 2_000_000
"""Generations; more than that is a slip in `k_max` or in the `active` columns, and would fill the memory."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a cohort.

    Attributes:
        combinations: those that the members name, by combo_id.
        notes: sentences for the user.
        reused: ids of members that were taken from the store as they are.
    """

    members: Sequence[Member]
    combinations: Mapping[str, Combination]
    notes: Sequence[str] = ()
    reused: Container[str] = ()


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A cohort before its rows are built.

    Attributes:
        part: what decides the membership, and with it the id.
        build: the rows under a given cohort id.
        notes: sentences for the user.
    """

    part: Mapping[str, Any]
    build: Callable[[str], Rows]
    notes: list[str] = field(default_factory=list)


def read_blueprint(
    paths: DataPaths, catalogue: Catalogue, config: ExperimentConfig, existing: GenerationStore
) -> Blueprint:
    """The cohort that selection files and active rows ask for.

    Raises:
        InputErrors: a selection or combination file holds something that is not allowed.
        ConfigurationError: something that the cohort needs is not active, or it would be far too large.
    """
    selection = read_selection(paths)
    if selection is None:
        return _read_cartesian(paths, catalogue, config)
    axes = _build_axes(catalogue)
    needed = {"evaluation template": axes.evaluation_templates, "model for_evaluation": axes.evaluation_models}
    if selection.stage is Stage.DRAFT:
        needed["essay template"] = axes.essay_templates
    _require_active(needed)
    curator = _Curator(paths, catalogue, config, existing, selection, axes)
    count = show_count(len(selection.ids), f"selected {selection.stage}")
    fill_up = ", filled up" if selection.fill_up else ""
    note = f"{selection.file}: {count}, mode {selection.mode}{fill_up}. Delete the file to use all active inputs."
    return Blueprint(build_curated_part(selection, axes), curator.build, [note])


def read_selection(paths: DataPaths) -> Selection | None:
    """What is selected by hand; None when there is no selection file.

    Raises:
        InputErrors: there are two files, or one holds something that is not allowed.
    """
    log = InputLog()
    found = {
        stage: path
        for stage, path in ((Stage.ESSAY, paths.selected_essays), (Stage.DRAFT, paths.selected_drafts))
        if path.is_file()
    }
    if len(found) == 2:
        log.add(
            found[Stage.DRAFT],
            f"there is {show_path(found[Stage.ESSAY])}, too",
            allowed="one of the two; delete or rename the other",
        )
        raise InputErrors(log.problems)
    for stage, path in found.items():
        text = read_input_text(path, log)
        if text is not None:
            selection, problems = parse_selection(text, stage, show_path(path))
            if not problems:
                return selection
            log.problems.extend(problems)
        raise InputErrors(log.problems)
    return None


# Cartesian ----------------------------------------------------------------------------------------------------------
def _read_cartesian(paths: DataPaths, catalogue: Catalogue, config: ExperimentConfig) -> Blueprint:
    axes = _build_axes(catalogue)
    _require_active(
        {
            "draft template": axes.draft_templates,
            "essay template": axes.essay_templates,
            "evaluation template": axes.evaluation_templates,
            "model for_generation": axes.generation_models,
            "model for_evaluation": axes.evaluation_models,
        }
    )
    selected = read_selected_combinations(paths, catalogue, config)
    combinations = {combination.combo_id: combination for combination in selected.combinations}
    _require_bearable(len(combinations), axes)

    def build(cohort_id: str) -> Rows:
        return Rows(build_cartesian_members(cohort_id, combinations, axes), combinations)

    notes = [selected.note] if selected.note else []
    return Blueprint(build_cartesian_part(combinations, axes), build, notes)


def _build_axes(catalogue: Catalogue) -> Axes:
    return Axes(
        draft_templates=tuple(template.template_id for template in catalogue.active_templates(Stage.DRAFT)),
        essay_templates=tuple(template.template_id for template in catalogue.active_templates(Stage.ESSAY)),
        evaluation_templates=tuple(template.template_id for template in catalogue.active_templates(Stage.EVALUATION)),
        generation_models=tuple(model.id for model in catalogue.generation_models()),
        evaluation_models=tuple(model.id for model in catalogue.evaluation_models()),
        replicates=catalogue.replicates,
    )


def _require_active(needed: Mapping[str, Sequence[str]]) -> None:
    missing = [what for what, ids in needed.items() if not ids]
    if missing:
        raise ConfigurationError(
            f"The cohort needs at least one active row of each kind; there is none of: {', '.join(missing)}.",
            fix="Set rows active (for_generation, for_evaluation) in data/1_raw/*_templates.csv and llm_models.csv, "
            "then run the command again.",
            reason="nothing_active",
            culprits={"missing": missing},
        )


def _require_bearable(combinations: int, axes: Axes) -> None:
    drafts = combinations * len(axes.draft_templates) * len(axes.generation_models) * axes.replicates[Stage.DRAFT]
    essays = drafts * len(axes.essay_templates) * axes.replicates[Stage.ESSAY]
    judges = len(axes.evaluation_templates) * len(axes.evaluation_models)
    total = drafts + essays + prod((essays, judges, axes.replicates[Stage.EVALUATION]))
    if total > LARGEST_COHORT:
        raise ConfigurationError(
            f"The cohort would have {total:,} generations from {combinations:,} combinations; "
            f"more than {LARGEST_COHORT:,} are refused.",
            fix="Lower k_max (DD_K_MAX or --k-max) or the replicates, or set fewer concepts, templates and models "
            "active.",
            reason="cohort_too_large",
            culprits={"generations": total},
        )


# Curated ------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Curator:
    paths: DataPaths
    catalogue: Catalogue
    config: ExperimentConfig
    existing: GenerationStore
    selection: Selection
    axes: Axes
    problems: list[InputProblem] = field(default_factory=list)

    def build(self, cohort_id: str) -> Rows:
        """The rows under a cohort id.

        Raises:
            InputErrors: all selected ids that cannot be used, with their lines.
        """
        selection = self.selection
        found = ((selected.line, self._find_source(selected)) for selected in selection.ids)
        sources = {line: source for line, source in found if source is not None}
        if selection.mode is not Mode.REUSE_ESSAYS:
            self._check_remaking(sources)
        if self.problems:
            raise InputErrors(self.problems)
        replicates, unreadable = self._find_replicates(cohort_id, list(sources.values()))
        members = build_curated_members(
            cohort_id, selection.mode, list(sources.values()), self.axes, replicates, fill_up=selection.fill_up
        )
        combinations = self._find_combinations({member.combo_id for member in members})
        notes = self._build_notes(members, combinations, unreadable)
        return Rows(members, combinations, notes, replicates.gen_ids)

    def _refuse(self, line: int, message: str, value: str, allowed: str | None = None) -> None:
        self.problems.append(InputProblem(self.selection.file, message, line=line, value=value, allowed=allowed))

    def _find_source(self, selected: SelectedId) -> Source | None:
        stage, gen_id, line = self.selection.stage, selected.gen_id, selected.line
        try:
            member = self._find_member(stage, gen_id)
            if member is None:
                self._refuse_unknown(selected)
                return None
            if stage is Stage.DRAFT:
                return Source(member)
            draft = self._find_member(Stage.DRAFT, member.parent_gen_id) if member.parent_gen_id else None
        except StoreError as error:
            self._refuse(line, f"its metadata cannot be read: {error.what}", gen_id)
            return None
        if draft is None:
            message = f"the essay names the draft '{member.parent_gen_id}' as its parent, which is not in the store"
            self._refuse(line, message, gen_id, "essays whose draft is stored; remove the line or restore the draft")
            return None
        # Essays of older versions do not repeat what their draft says.
        model = member.llm_model_id or draft.llm_model_id
        return Source(draft, member._replace(combo_id=draft.combo_id, llm_model_id=model))

    def _find_member(self, stage: Stage, gen_id: str) -> Member | None:
        metadata = self.existing.find_metadata(stage, gen_id)
        return None if metadata is None else build_stored_member(metadata)

    def _refuse_unknown(self, selected: SelectedId) -> None:
        wanted = self.selection.stage
        for stage in Stage:
            if stage is not wanted and self.existing.folder(stage, selected.gen_id).is_dir():
                home = {Stage.DRAFT: "; this one belongs into selected_drafts.txt"}
                home[Stage.ESSAY] = "; this one belongs into selected_essays.txt"
                message = f"this id belongs to another stage: {stage}"
                self._refuse(selected.line, message, selected.gen_id, f"ids of {wanted}s{home.get(stage, '')}")
                return
        message, allowed = f"there is no such {wanted} in the store", f"ids of {wanted}s in gens/{wanted}"
        self._refuse(selected.line, message, selected.gen_id, allowed)

    def _check_remaking(self, sources: Mapping[int, Source]) -> None:
        templates, models = self.catalogue.templates, self.catalogue.models
        for line, source in sources.items():
            if source.essay is not None and source.essay.template_id not in templates[Stage.ESSAY]:
                self._refuse(line, "its template has no row in essay_templates.csv", source.essay.template_id)
            if source.draft.llm_model_id not in models:
                self._refuse(line, "its model has no row in llm_models.csv", source.draft.llm_model_id)
        if self.selection.mode is Mode.REGENERATE:
            combinations = self._find_combinations({source.draft.combo_id for source in sources.values()})
            for line, source in sources.items():
                self._check_redrafting(line, source.draft, combinations.get(source.draft.combo_id))

    def _check_redrafting(self, line: int, draft: Member, combination: Combination | None) -> None:
        if draft.template_id not in self.catalogue.templates[Stage.DRAFT]:
            self._refuse(line, "its draft's template has no row in draft_templates.csv", draft.template_id)
        if combination is None:
            self._refuse(line, "its draft's combination is not in combo_mappings.csv", draft.combo_id)
            return
        for concept_id in combination.concept_ids:
            if concept_id not in self.catalogue.concepts:
                self._refuse(line, "a concept of its draft has no row in concepts_metadata.csv", concept_id)

    def _find_combinations(self, combo_ids: set[str]) -> dict[str, Combination]:
        known = read_combo_registry(self.paths)
        if combo_ids - known.keys():
            try:
                selected = read_selected_combinations(self.paths, self.catalogue, self.config).combinations
            except ConfigurationError:
                selected = ()  # what stays unknown is told, where it matters
            known = {combination.combo_id: combination for combination in selected} | known
        return {combo_id: known[combo_id] for combo_id in sorted(combo_ids & known.keys())}

    def _find_replicates(self, cohort_id: str, sources: Sequence[Source]) -> tuple[Replicates, list[str]]:
        mode = self.selection.mode
        stage = mode.minted
        origins = {_find_origin(source, stage) for source in sources}
        taken = {member.gen_id for source in sources for member in (source.draft, source.essay) if member is not None}
        existing: list[Member] = []
        own: set[str] = set()
        unreadable: list[str] = []
        for metadata in self.existing.iter_metadata(stage, unreadable=unreadable):
            if (metadata.combo_id if stage is Stage.DRAFT else metadata.parent_gen_id) not in origins:
                continue
            existing.append(build_stored_member(metadata))
            if metadata.origin_cohort_id == cohort_id and metadata.mode == mode and metadata.gen_id not in taken:
                own.add(metadata.gen_id)
        return Replicates(existing, own=own, unusable=frozenset(unreadable)), unreadable

    def _build_notes(
        self, members: Iterable[Member], combinations: Mapping[str, Combination], unreadable: Sequence[str]
    ) -> list[str]:
        notes = []
        if unreadable:
            shown = ", ".join(sorted(unreadable)[:3])
            notes.append(
                f"{len(unreadable)} stored generations have unreadable metadata and were passed over: {shown}."
            )
        unknown = sorted({member.combo_id for member in members} - combinations.keys())
        if unknown:
            notes.append(
                f"{len(unknown)} combinations are in no table, so their drafts cannot be made again: "
                f"{', '.join(unknown[:3])}."
            )
        return notes


def build_stored_member(metadata: GenerationMetadata) -> Member:
    """A stored generation as a row of the cohort that made it."""
    return Member(
        stage=metadata.stage,
        gen_id=metadata.gen_id,
        cohort_id=metadata.origin_cohort_id,
        parent_gen_id=metadata.parent_gen_id,
        combo_id=metadata.combo_id,
        template_id=metadata.template_id,
        llm_model_id=metadata.llm_model_id,
        replicate=metadata.replicate,
        mode=metadata.mode,
    )


def _find_origin(source: Source, minted: Stage) -> str:
    if minted is Stage.EVALUATION and source.essay is not None:
        return source.essay.gen_id
    return source.draft.combo_id if minted is Stage.DRAFT else source.draft.gen_id
