"""From the store to the table of scores: what is known of each evaluation, whether it succeeded or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from daydreaming_dagster.analysis.parsed_scores import EvaluationRecord
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore
from daydreaming_dagster.store.paths import PARSED
from daydreaming_dagster.store.states import Status, read_state


class EvaluationReader:
    """Reads evaluations with their lineage; essays and drafts that several share are read once."""

    def __init__(self, store: GenerationStore, catalogue: Catalogue) -> None:
        self._store = store
        self._templates = catalogue.templates[Stage.EVALUATION]
        self._known: dict[tuple[Stage, str], GenerationMetadata | None] = {}
        self._raw: dict[str, dict[str, Any]] = {}

    def read_members(self, members: Iterable[Member]) -> Iterator[EvaluationRecord]:
        """Records of a cohort's evaluations, made or not, in the order of the cohort."""
        for member in members:
            if member.stage is Stage.EVALUATION:
                yield self._read(GenerationMetadata.of_member(member), cohort_id=member.cohort_id)

    def read_all(self) -> Iterator[EvaluationRecord]:
        """Records of every evaluation in the store, of whatever cohort, in the order of their ids."""
        for gen_id in sorted(self._store.iter_gen_ids(Stage.EVALUATION)):
            asked = GenerationMetadata(Stage.EVALUATION, gen_id, "", "", "", "", "", "", 1)
            yield self._read(asked, cohort_id=None)

    def _read(self, asked: GenerationMetadata, cohort_id: str | None) -> EvaluationRecord:
        gen_id = asked.gen_id
        parsed_text, error = None, None
        metadata: GenerationMetadata | None = None
        try:
            metadata = self._store.find_metadata(Stage.EVALUATION, gen_id)
            parsed_text = self._store.find_parsed(Stage.EVALUATION, gen_id)
            if parsed_text is None:
                error = self._find_reason(gen_id)
        except StoreError:
            error = "metadata_corrupt" if metadata is None else "parsed_corrupt"
        asked = metadata or asked
        template = self._templates.get(asked.template_id)
        folder = self._store.folder(Stage.EVALUATION, gen_id)
        essay = self._find(Stage.ESSAY, asked.parent_gen_id)
        draft = self._find(Stage.DRAFT, essay.parent_gen_id if essay else "")
        essay_raw = self._find_raw(asked.parent_gen_id)
        return EvaluationRecord(
            gen_id=gen_id,
            parent_gen_id=asked.parent_gen_id or None,
            evaluation_template=asked.template_id or None,
            evaluation_llm_model=asked.llm_model_id or None,
            parsed_text=parsed_text,
            error=error,
            evaluation_response_path=str(folder / PARSED),
            combo_id=(essay and essay.combo_id) or (draft and draft.combo_id) or asked.combo_id or None,
            draft_template=(draft and draft.template_id) or None,
            generation_template=(essay and essay.template_id) or None,
            generation_model=(essay and essay.llm_model_id) or (draft and draft.llm_model_id) or None,
            generation_response_path=str(self._store.folder(Stage.ESSAY, essay.gen_id) / PARSED) if essay else None,
            origin_cohort_id=asked.origin_cohort_id or None,
            input_mode=essay_raw.get("input_mode"),
            copied_from=essay_raw.get("copied_from"),
            cohort_id=cohort_id or asked.origin_cohort_id or None,
            draft_gen_id=(essay and essay.parent_gen_id) or None,
            replicate=asked.replicate,
            scale_min=template.scale_min if template else None,
            scale_max=template.scale_max if template else None,
            experiment_id=asked.experiment_id,
        )

    def _find_reason(self, gen_id: str) -> str:
        state = read_state(self._store, Stage.EVALUATION, gen_id)
        if state.failure is not None:
            return state.failure.reason
        return "not_parsed" if state.status is Status.UNPARSED else "not_made"

    def _find(self, stage: Stage, gen_id: str) -> GenerationMetadata | None:
        if not gen_id:
            return None
        key = (stage, gen_id)
        if key not in self._known:
            try:
                self._known[key] = self._store.find_metadata(stage, gen_id)
            except StoreError:
                self._known[key] = None
        return self._known[key]

    def _find_raw(self, essay_gen_id: str) -> dict[str, Any]:
        if not essay_gen_id:
            return {}
        if essay_gen_id not in self._raw:
            try:
                found = self._store.find_raw_metadata(Stage.ESSAY, essay_gen_id) or {}
            except StoreError:
                found = {}
            self._raw[essay_gen_id] = {name: found.get(name) for name in ("input_mode", "copied_from")}
        return self._raw[essay_gen_id]
